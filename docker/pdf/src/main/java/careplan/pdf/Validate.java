package careplan.pdf;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Stream;
import org.verapdf.core.EncryptedPdfException;
import org.verapdf.core.ModelParsingException;
import org.verapdf.core.ValidationException;
import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.PDFAParser;
import org.verapdf.pdfa.PDFAValidator;
import org.verapdf.pdfa.flavours.PDFAFlavour;
import org.verapdf.pdfa.results.TestAssertion;
import org.verapdf.pdfa.results.ValidationResult;
import org.verapdf.pdfa.validation.profiles.RuleId;

/**
 * PDF/UA-1 by veraPDF, one JSON line for each rule that a file fails.
 * Usage: Validate (file | folder)...   Exit status 1: a rule was failed; 2: a file could not be checked at all.
 */
public class Validate {
	static final ObjectMapper JSON = new ObjectMapper();
	static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
	static final PDFAFlavour UA1 = PDFAFlavour.PDFUA_1;
	static final int SHOWN_OF_A_RULE = 1;

	public static void main(String[] args) throws Exception {
		Logger.getLogger("org.verapdf").setLevel(Level.SEVERE);
		VeraGreenfieldFoundryProvider.initialise();
		List<Path> files = new ArrayList<>();
		for (String arg : args) files.addAll(pdfsIn(Path.of(arg)));
		int failed = 0, unread = 0;
		for (Path file : files) {
			try {
				if (!check(file)) failed++;
			} catch (ModelParsingException | EncryptedPdfException | ValidationException e) {
				System.err.println(file + " could not be checked: " + e);
				unread++;
			}
		}
		System.err.println(files.size() + " files, " + failed + " of them fail a rule, " + unread + " could not be checked");
		System.exit(files.isEmpty() || unread > 0 ? 2 : failed > 0 ? 1 : 0);
	}

	static List<Path> pdfsIn(Path at) throws IOException {
		if (Files.isRegularFile(at)) return List.of(at);
		try (Stream<Path> all = Files.walk(at)) {
			return all.filter(p -> Files.isRegularFile(p) && p.toString().endsWith(".pdf")).sorted().toList();
		}
	}

	/** Whether no rule is failed. */
	static boolean check(Path file) throws IOException, ModelParsingException, EncryptedPdfException, ValidationException {
		try (PDFAParser parser = Foundries.defaultInstance().createParser(file.toFile(), UA1);
				PDFAValidator validator = Foundries.defaultInstance().createValidator(UA1, SHOWN_OF_A_RULE, false, true, false)) {
			ValidationResult result = validator.validate(parser);
			Map<RuleId, TestAssertion> first = new LinkedHashMap<>();
			for (TestAssertion each : result.getTestAssertions()) first.putIfAbsent(each.getRuleId(), each);
			for (Map.Entry<RuleId, Integer> each : result.getFailedChecks().entrySet()) {
				RuleId rule = each.getKey();
				Map<String, Object> line = new LinkedHashMap<>();
				line.put("file", file.toString());
				line.put("clause", rule.getClause());
				line.put("test", rule.getTestNumber());
				line.put("description", result.getValidationProfile().getRuleByRuleId(rule).getDescription());
				line.put("times", each.getValue());
				line.put("found", first.get(rule).getErrorMessage());
				line.put("where", first.get(rule).getLocation().getContext());
				OUT.println(JSON.writeValueAsString(line));
			}
			return result.isCompliant();
		}
	}
}
