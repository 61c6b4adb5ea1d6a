//! Registers series, and remembers which.

use std::cell::RefCell;
use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
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

/// A series under the name that it had before.
#[derive(Clone, Debug)]
struct Renamed {
    desc: Desc,
    values: HistogramVec,
}

impl Collector for Renamed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.values.collect();
        for family in &mut families {
            family.set_name(self.desc.fq_name.clone());
            family.set_help(self.desc.help.clone());
        }
        families
    }
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

    /// Of one call, from 5 ms on.
    pub(super) fn durations(&self, text: Text, label: &str) -> HistogramVec {
        let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        self.histogram(text, &[label], &buckets)
    }

    /// Of a record on its way, as far as a day.
    pub(super) fn latencies(&self, text: Text, labels: &[&str]) -> HistogramVec {
        let buckets = [
            0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0,
            86_400.0,
        ];
        self.histogram(text, labels, &buckets)
    }

    /// Powers of ten, as far as ten million.
    pub(super) fn numbers(&self, text: Text, labels: &[&str]) -> HistogramVec {
        self.histogram(text, labels, &[0.0, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7])
    }

    fn histogram(&self, (name, help): Text, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.note("histogram", HistogramVec::new(options, labels))
    }

    /// The same values under the name that they had before.
    pub(super) fn renamed(&self, (name, help): Text, values: &HistogramVec) {
        let labels = values.desc()[0].variable_labels.clone();
        let desc = Desc::new(name.into(), help.into(), labels, HashMap::new());
        let renamed = Renamed { desc: desc.expect("a constant name"), values: values.clone() };
        let _ = self.note("histogram", Ok(renamed));
    }

    pub(super) fn counter(&self, (name, help): Text) -> IntCounter {
        self.note("counter", IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, (name, help): Text) -> IntGauge {
        self.note("gauge", IntGauge::new(name, help))
    }
}
