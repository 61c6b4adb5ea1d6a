//! Registers series, and remembers which.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::common::metrics::series::Text;

/// One series, as `docs/metrics.md` lists it.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub kind: &'static str,
    pub labels: Vec<String>,
    pub help: String,
}

/// Registers series, and writes down which.
pub(super) struct Making<'r> {
    pub(super) registry: &'r Registry,
    pub(super) series: RefCell<Vec<Series>>,
}

impl Making<'_> {
    fn note<C: Collector + Clone + 'static>(
        &self,
        kind: &'static str,
        made: prometheus::Result<C>,
    ) -> C {
        let made = made.expect("a constant name");
        let desc = made.desc();
        self.series.borrow_mut().extend(desc.iter().map(|d| Series {
            name: d.fq_name.clone(),
            kind,
            labels: d.variable_labels.clone(),
            help: d.help.clone(),
        }));
        self.registry.register(Box::new(made.clone())).expect("each name is registered once");
        made
    }

    pub(super) fn counters(&self, (name, help): Text, labels: &[&str]) -> IntCounterVec {
        self.note("counter", IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(&self, (name, help): Text, labels: &[&str]) -> IntGaugeVec {
        self.note("gauge", IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn seconds(&self, (name, help): Text, label: &str) -> HistogramVec {
        let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let options = HistogramOpts::new(name, help).buckets(buckets);
        self.note("histogram", HistogramVec::new(options, &[label]))
    }

    pub(super) fn counter(&self, (name, help): Text) -> IntCounter {
        self.note("counter", IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, (name, help): Text) -> IntGauge {
        self.note("gauge", IntGauge::new(name, help))
    }
}
