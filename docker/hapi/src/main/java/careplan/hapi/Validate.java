package careplan.hapi;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport.IssueSeverity;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirDefaultPolicyAdvisor;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.common.hapi.validation.validator.WorkerContextValidationSupportAdapter;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Questionnaire;
import org.hl7.fhir.r4.model.Resource;
import org.hl7.fhir.r5.elementmodel.Element;
import org.hl7.fhir.r5.elementmodel.Manager;
import org.hl7.fhir.r5.model.CanonicalResource;
import org.hl7.fhir.r5.model.CanonicalType;
import org.hl7.fhir.r5.model.StructureDefinition;
import org.hl7.fhir.r5.utils.validation.IResourceValidator;
import org.hl7.fhir.r5.utils.validation.IValidatorResourceFetcher;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;
import org.hl7.fhir.r5.utils.validation.constants.ReferenceValidationPolicy;
import org.slf4j.LoggerFactory;

/**
 * Offline FHIR R4 validation, one JSON line per issue.
 * Usage: Validate [-d definitions-folder]... (file | folder | -)...   where - reads one resource per line
 * from stdin and ends each one's issues with a line {"source":..., "end":true}. Exit status 1: an error was found.
 */
public class Validate {
	static final ObjectMapper JSON = new ObjectMapper();
	static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
	static int resources, errors;

	public static void main(String[] args) throws Exception {
		((Logger) LoggerFactory.getLogger("ROOT")).setLevel(Level.toLevel(System.getProperty("hapi.log", "ERROR")));
		FhirContext ctx = FhirContext.forR4();
		Definitions extra = new Definitions(ctx);
		for (int i = 0; i < args.length - 1; i++)
			if (args[i].equals("-d"))
				for (Path p : jsonFiles(Path.of(args[i + 1])))
					extra.add((Resource) ctx.newJsonParser().parseResource(Files.readString(p)));
		FhirValidator validator = validator(ctx, extra);
		for (int i = 0; i < args.length; i++) {
			if (args[i].equals("-d")) {
				i++;
			} else if (args[i].equals("-")) {
				BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
				int n = 0;
				for (String line; (line = in.readLine()) != null; ) {
					if (line.isBlank()) continue;
					String source = "stdin:" + ++n;
					check(validator, source, line);
					OUT.println(JSON.writeValueAsString(Map.of("source", source, "end", true)));
				}
			} else {
				for (Path p : jsonFiles(Path.of(args[i]))) check(validator, p.toString(), Files.readString(p));
			}
		}
		System.err.println(resources + " resources, " + errors + " errors");
		System.exit(errors > 0 ? 1 : 0);
	}

	static List<Path> jsonFiles(Path at) throws Exception {
		try (Stream<Path> all = Files.walk(at)) {
			return all.filter(p -> Files.isRegularFile(p) && p.toString().endsWith(".json")).sorted().toList();
		}
	}

	/** The extra definitions; HAPI's class by itself serves no Questionnaire to the validator. */
	static class Definitions extends PrePopulatedValidationSupport {
		final Map<String, Questionnaire> questionnaires = new HashMap<>();

		Definitions(FhirContext ctx) { super(ctx); }

		void add(Resource r) {
			if (r instanceof Bundle b) b.getEntry().forEach(e -> add(e.getResource()));
			else if (r instanceof Questionnaire q) questionnaires.put(q.getUrl(), q);
			else addResource(r);
		}

		@Override
		public <T extends IBaseResource> T fetchResource(Class<T> type, String uri) {
			if (type == Questionnaire.class) return type.cast(questionnaires.get(uri.split("\\|")[0]));
			return super.fetchResource(type, uri);
		}
	}

	static FhirValidator validator(FhirContext ctx, Definitions extra) {
		UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(ctx);
		unknown.setNonExistentCodeSystemSeverity(IssueSeverity.WARNING);
		ValidationSupportChain support = new ValidationSupportChain(
				extra, new DefaultProfileValidationSupport(ctx), new CommonCodeSystemsTerminologyService(ctx),
				new InMemoryTerminologyServerValidationSupport(ctx), new SnapshotGeneratingValidationSupport(ctx),
				unknown);
		FhirInstanceValidator module = new FhirInstanceValidator(support);
		module.setWrappedWorkerContext(support, new WorkerContextValidationSupportAdapter(support) {
			@Override // with "4.0.1" it looks for R4 on the network to check where an extension may stand
			public String getVersion() { return "4.0"; }
		});
		module.setAnyExtensionsAllowed(true);
		module.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
		module.setValidatorPolicyAdvisor(new FhirDefaultPolicyAdvisor() {
			@Override // the default is IGNORE: it would let a reference name any type
			public ReferenceValidationPolicy policyForReference(IResourceValidator validator, Object appContext,
					String path, String url, ReferenceDestinationType destinationType) {
				return ReferenceValidationPolicy.CHECK_TYPE_IF_EXISTS;
			}
		});
		module.setValidatorResourceFetcher(new ByText(module)); // without a fetcher the policy above throws
		return ctx.newValidator().registerValidatorModule(module);
	}

	/** Takes what a reference like Patient/1 says for its type, and fetches nothing. */
	record ByText(FhirInstanceValidator module) implements IValidatorResourceFetcher {
		static final Pattern LITERAL = Pattern.compile("(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/.+)?");

		public Element fetch(IResourceValidator v, Object appContext, String url) {
			Matcher m = LITERAL.matcher(url);
			StructureDefinition type = m.matches() ? module.getWorkerContext().fetchTypeDefinition(m.group(1)) : null;
			return type == null ? null : Manager.build(module.getWorkerContext(), type);
		}
		public boolean resolveURL(IResourceValidator v, Object appContext, String path, String url, String type,
				boolean canonical, List<CanonicalType> targets) { return true; }
		public byte[] fetchRaw(IResourceValidator v, String url) { return null; }
		public IValidatorResourceFetcher setLocale(Locale locale) { return this; }
		public CanonicalResource fetchCanonicalResource(IResourceValidator v, Object appContext, String url) { return null; }
		public boolean fetchesCanonicalResource(IResourceValidator v, String url) { return false; }
		public Set<ResourceVersionInformation> fetchCanonicalResourceVersions(IResourceValidator v, Object appContext,
				String url) { return Set.of(); }
	}

	static void check(FhirValidator validator, String source, String json) throws Exception {
		long start = System.nanoTime();
		List<SingleValidationMessage> found;
		try {
			found = validator.validateWithResult(json).getMessages();
		} catch (Exception e) {
			SingleValidationMessage m = new SingleValidationMessage();
			m.setSeverity(ResultSeverityEnum.FATAL);
			m.setMessage(e.toString());
			found = List.of(m);
		}
		resources++;
		for (SingleValidationMessage m : found) {
			if (m.getSeverity().compareTo(ResultSeverityEnum.ERROR) >= 0) errors++;
			Map<String, Object> line = new LinkedHashMap<>();
			line.put("source", source);
			line.put("severity", m.getSeverity().getCode());
			line.put("location", m.getLocationString());
			line.put("line", m.getLocationLine());
			line.put("id", m.getMessageId());
			line.put("message", m.getMessage());
			OUT.println(JSON.writeValueAsString(line));
		}
		if (Boolean.getBoolean("hapi.times")) System.err.printf("%s %.1f ms%n", source, (System.nanoTime() - start) / 1e6);
	}
}
