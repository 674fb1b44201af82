package careplan.hapi;

import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.repository.HapiFhirRepository;
import ca.uhn.fhir.rest.server.RestfulServer;
import org.opencds.cqf.fhir.cr.CrSettings;
import org.opencds.cqf.fhir.cr.hapi.r4.plandefinition.PlanDefinitionApplyProvider;
import org.opencds.cqf.fhir.cr.plandefinition.PlanDefinitionProcessor;

/** The part of HAPI's clinical reasoning that careplan is compared with: $apply and $r5.apply of a PlanDefinition. */
final class ClinicalReasoning {

	private ClinicalReasoning() { }

	/** One set of settings, and so of caches, for all calls; each call reads through the server's own repository. */
	static Object planDefinitionApply(DaoRegistry daos, RestfulServer fhir) {
		CrSettings settings = CrSettings.getDefault();
		return new PlanDefinitionApplyProvider(
				call -> new PlanDefinitionProcessor(new HapiFhirRepository(daos, call, fhir), settings));
	}
}
