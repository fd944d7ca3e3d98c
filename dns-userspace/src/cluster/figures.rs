//! What is counted of cert-manager's Certificates, under the names of catalyst-dns-sync.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};

use super::certificates::Certificate;

/// A day, in seconds.
const DAY: f64 = 86_400.0;
const GOOD: &str = "names and labels of a metric";

/// Figures of all Certificates. How long each is good is counted when it is asked for.
pub struct CertificateFigures {
    certificates: Mutex<BTreeMap<(String, String), Certificate>>,
    failures: IntCounterVec,
    descs: Vec<Desc>,
}

impl Default for CertificateFigures {
    fn default() -> Self {
        let failures = Opts::new(
            "catalyst_dns_sync_certificate_renewal_failures_total",
            "Attempts to issue a Certificate that failed since this process watches.",
        );
        let families = families(&BTreeMap::new(), UNIX_EPOCH);
        Self {
            certificates: Mutex::default(),
            failures: IntCounterVec::new(failures, &["name", "reason"]).expect(GOOD),
            descs: families.iter().flat_map(|family| family.desc()).cloned().collect(),
        }
    }
}

impl CertificateFigures {
    /// A Certificate as it is now.
    pub(super) fn set(&self, certificate: Certificate) {
        let mut all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (certificate.namespace.clone(), certificate.name.clone());
        let before = all.get(&key).map(|known| known.failed_attempts);
        let counter = |reason: &str| self.failures.with_label_values(&[&certificate.name, reason]);
        match before {
            // What failed before we looked is another process's count.
            None => drop(counter(&certificate.failure_reason)),
            Some(before) if certificate.failed_attempts > before => {
                counter(&certificate.failure_reason).inc_by(certificate.failed_attempts - before);
            }
            Some(_) => {}
        }
        all.insert(key, certificate);
    }

    /// A Certificate is gone.
    pub(super) fn remove(&self, namespace: &str, name: &str) {
        let mut all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Only these are there.
    pub(super) fn reset(&self, certificates: Vec<Certificate>) {
        let keys: Vec<_> = certificates
            .iter()
            .map(|certificate| (certificate.namespace.clone(), certificate.name.clone()))
            .collect();
        self.certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|key, _| keys.contains(key));
        certificates.into_iter().for_each(|certificate| self.set(certificate));
    }
}

/// The figures, to be registered.
pub struct CertificatesCollector(pub std::sync::Arc<CertificateFigures>);

impl Collector for CertificatesCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().chain(self.0.failures.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.0.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let families = families(&all, SystemTime::now());
        let shown = families.iter().flat_map(|family| family.collect());
        shown.chain(self.0.failures.collect()).collect()
    }
}

fn families(all: &BTreeMap<(String, String), Certificate>, now: SystemTime) -> [Box<dyn Collector>; 4] {
    let gauges = |name: &str, help: &str, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels).expect(GOOD);
    let whole = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels).expect(GOOD);
    let seconds = gauges(
        "catalyst_dns_sync_certificate_expiry_seconds",
        "Seconds until a Certificate is over.",
        &["cert"],
    );
    let days = gauges(
        "catalyst_dns_sync_certificate_expiry_days",
        "Days until a Certificate is over.",
        &["name", "namespace", "issuer"],
    );
    let ready = whole(
        "catalyst_dns_sync_certificate_ready",
        "1 where a Certificate is ready, else 0.",
        &["name", "namespace"],
    );
    let status = whole(
        "catalyst_dns_sync_certificate_status",
        "1 for the status that a Certificate has, 0 for the others.",
        &["cert", "status"],
    );
    for certificate in all.values() {
        let Certificate { namespace, name, .. } = certificate;
        ready
            .with_label_values(&[name, namespace])
            .set(certificate.is_ready.into());
        for known in ["ready", "issuing", "not_ready"] {
            let is_it = certificate.status() == known;
            status.with_label_values(&[name.as_str(), known]).set(is_it.into());
        }
        if let Some(end) = certificate.not_after {
            let end = UNIX_EPOCH + Duration::from_secs(end);
            let left = match end.duration_since(now) {
                Ok(left) => left.as_secs_f64(),
                Err(over) => -over.duration().as_secs_f64(),
            };
            seconds.with_label_values(&[name]).set(left);
            days.with_label_values(&[name, namespace, &certificate.issuer])
                .set((left / DAY).floor());
        }
    }
    [Box::new(seconds), Box::new(days), Box::new(ready), Box::new(status)]
}
