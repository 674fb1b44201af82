package careplan.hapi;

import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.HibernatePropertiesProvider;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.*;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.provider.*;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import jakarta.persistence.EntityManagerFactory;
import java.net.URI;
import java.net.http.*;
import java.util.*;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.BasicDataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.*;
import org.eclipse.jetty.util.component.LifeCycle;
import org.slf4j.LoggerFactory;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.*;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;

/** HAPI's R4 JPA server on embedded H2 and Jetty, loopback only. README.md lists the settings (-Dhapi.NAME=VALUE). */
@Configuration
@Import({JpaR4Config.class, HapiJpaConfig.class, JpaBatch2Config.class, Batch2JobsConfig.class,
		SubscriptionChannelConfig.class, ThreadPoolFactoryConfig.class})
public class HapiServer {

	static String setting(String name, String otherwise) {
		return System.getProperty("hapi." + name, otherwise);
	}

	@Bean
	public JpaStorageSettings storageSettings() {
		JpaStorageSettings s = new JpaStorageSettings();
		s.setAllowExternalReferences(Boolean.parseBoolean(setting("externalReferences", "true")));
		long reuse = Long.parseLong(setting("reuseSearchMillis", "0"));
		s.setReuseCachedSearchResultsForMillis(reuse > 0 ? reuse : null);
		// the rest: as the official starter sets it, where HAPI's own default differs
		s.setAllowContainsSearches(true);
		s.setExpungeEnabled(true);
		s.setFilterParameterEnabled(true);
		s.setSearchPreFetchThresholds(List.of(13, 503, 2003, -1));
		s.setStoreMetaSourceInformation(JpaStorageSettings.StoreMetaSourceInformationEnum.NONE);
		return s;
	}

	@Bean public PartitionSettings partitionSettings() { return new PartitionSettings(); }
	@Bean public SubscriptionSettings subscriptionSettings() { return new SubscriptionSettings(); }

	@Bean(destroyMethod = "close")
	public BasicDataSource dataSource() {
		String file = setting("db", "");
		BasicDataSource ds = new BasicDataSource();
		ds.setUrl((file.isEmpty() ? "jdbc:h2:mem:fhir;DB_CLOSE_DELAY=-1" : "jdbc:h2:file:" + file)
				+ ";DB_CLOSE_ON_EXIT=FALSE"); // or H2's own hook closes it under the running server
		ds.setUsername("sa");
		ds.setMaxTotal(20);
		return ds;
	}

	@Bean
	@Primary
	public LocalContainerEntityManagerFactoryBean entityManagerFactory(
			ConfigurableListableBeanFactory beans, FhirContext ctx, JpaStorageSettings settings, DataSource ds) {
		LocalContainerEntityManagerFactoryBean emf =
				HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, ctx, settings);
		emf.setPersistenceUnitName("HAPI_PU");
		emf.setDataSource(ds);
		emf.setJpaPropertyMap(Map.of(
				"hibernate.dialect", HapiFhirH2Dialect.class.getName(),
				"hibernate.hbm2ddl.auto", "update",
				"hibernate.jdbc.batch_size", "20",
				"hibernate.search.enabled", "false"));
		return emf;
	}

	@Bean
	@Primary
	public JpaTransactionManager transactionManager(EntityManagerFactory emf) {
		return new JpaTransactionManager(emf);
	}

	static RestfulServer restfulServer(AnnotationConfigApplicationContext app) {
		IFhirSystemDao<?, ?> systemDao = app.getBean(IFhirSystemDao.class);
		RestfulServer fhir = new RestfulServer(systemDao.getContext());
		fhir.registerProviders(app.getBean(ResourceProviderFactory.class).createProviders());
		fhir.registerProviders(app.getBean(IJpaSystemProvider.class), app.getBean(ValueSetOperationProvider.class),
				app.getBean(DiffProvider.class));
		fhir.setServerConformanceProvider(new JpaCapabilityStatementProvider(fhir, systemDao,
				app.getBean(JpaStorageSettings.class), app.getBean(ISearchParamRegistry.class),
				app.getBean(IValidationSupport.class)));
		DatabaseBackedPagingProvider paging = app.getBean(DatabaseBackedPagingProvider.class);
		paging.setDefaultPageSize(20);
		paging.setMaximumPageSize(Integer.parseInt(setting("maxPageSize", "1000")));
		fhir.setPagingProvider(paging);
		fhir.setDefaultPrettyPrint(true);
		if (Boolean.getBoolean("hapi.cr")) {
			fhir.registerProvider(ClinicalReasoning.planDefinitionApply(app.getBean(DaoRegistry.class), fhir));
		}
		return fhir;
	}

	public static void main(String[] args) {
		((Logger) LoggerFactory.getLogger("ROOT")).setLevel(Level.toLevel(setting("log", "WARN")));
		try {
			System.out.println("READY " + start());
			if (!Boolean.getBoolean("hapi.exitWithStdin")) return; // Jetty's threads keep the process alive
			while (System.in.read() >= 0) { }
			System.exit(0);
		} catch (Throwable e) { // exit, or the scheduler's threads would keep a failed server's process alive
			e.printStackTrace();
			System.exit(1);
		}
	}

	static String start() throws Exception {
		AnnotationConfigApplicationContext app = new AnnotationConfigApplicationContext(HapiServer.class);
		ServletContextHandler web = new ServletContextHandler();
		web.addServlet(new ServletHolder(restfulServer(app)), "/fhir/*");
		Server jetty = new Server();
		ServerConnector http = new ServerConnector(jetty);
		http.setHost("127.0.0.1");
		http.setPort(Integer.parseInt(setting("port", "8080"))); // 0: any free port, as told by the READY line
		jetty.addConnector(http);
		jetty.setHandler(web);
		Runtime.getRuntime().addShutdownHook(new Thread(() -> { LifeCycle.stop(jetty); app.close(); })); // in order
		jetty.start();
		String base = "http://127.0.0.1:" + http.getLocalPort() + "/fhir";
		URI metadata = URI.create(base + "/metadata"); // the first call makes the servlet and is slow
		if (HttpClient.newHttpClient().send(HttpRequest.newBuilder(metadata).build(),
				HttpResponse.BodyHandlers.discarding()).statusCode() != 200) throw new IllegalStateException(base);
		return base;
	}
}
