//! A producer, and the thread that reads its events: errors, and results that were not delivered.
//!
//! rust-rdkafka (0.39) has such a thread too. That one spins for the last millisecond of each tenth
//! of a second, which costs 0.7 % of a core for each producer that has nothing to do.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use crate::clients::kafka::error::KafkaError;
use crate::clients::kafka::{gate, native};

/// Events wait for this time at most, while nobody waits for them.
const LOOK: Duration = Duration::from_millis(50);

/// While a flush waits for the events of its messages, they are heard as they come; for an event,
/// one look waits for this time.
const LOOK_IN_FLUSH: Duration = Duration::from_millis(20);

/// The most events of one look.
const EVENTS: usize = 1_000;

/// A producer whose events are heard as long as it lives.
pub struct HeardProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    ends: Arc<AtomicBool>,
    /// How many flushes are under way.
    flushes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> HeardProducer<C> {
    /// Makes the producer; nothing is asked of a broker yet.
    ///
    /// # Errors
    /// librdkafka refuses the settings, or the system has no thread to give.
    pub(super) fn make(
        settings: &ClientConfig,
        context: C,
    ) -> Result<HeardProducer<C>, KafkaError> {
        let failed = |e: &dyn std::fmt::Display| KafkaError::new("make the producer", e);
        let producer: BaseProducer<C> =
            settings.create_with_context(context).map_err(|e| failed(&e))?;
        gate::guard(producer.client());
        let (producer, ends) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let flushes = Arc::new(AtomicUsize::new(0));
        let (heard, end, flushed) =
            (Arc::clone(&producer), Arc::clone(&ends), Arc::clone(&flushes));
        let hear = move || {
            while !end.load(Ordering::SeqCst) {
                hear(&heard);
                if 0 < flushed.load(Ordering::SeqCst) {
                    heard.poll(LOOK_IN_FLUSH);
                } else {
                    std::thread::park_timeout(LOOK);
                }
            }
        };
        let thread = std::thread::Builder::new().name("producer-events".into()).spawn(hear);
        let thread = Some(thread.map_err(|e| failed(&e))?);
        Ok(HeardProducer { producer, ends, flushes, thread })
    }

    /// Sends what is queued, full batches or not, and waits until all of it is answered, and the
    /// answers are heard; false if that took longer.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let _ = self.flushes.fetch_add(1, Ordering::SeqCst);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        let all = native::flush(&*self.producer, timeout);
        let _ = self.flushes.fetch_sub(1, Ordering::SeqCst);
        all
    }
}

/// Hears the events that are there, and does not wait for more: each call hears one.
fn hear<C: ProducerContext>(producer: &BaseProducer<C>) {
    for _ in 0..EVENTS {
        producer.poll(Duration::ZERO);
        // Of messages and of events.
        if producer.in_flight_count() == 0 {
            return;
        }
    }
}

impl<C: ProducerContext + 'static> Deref for HeardProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for HeardProducer<C> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!(
                code = "AL901",
                "the thread that reads a producer's events has panicked"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseRecord, DefaultProducerContext};

    use super::*;

    #[test]
    fn a_flush_hears_what_is_delivered_as_soon_as_it_is() {
        let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        let mut settings = ClientConfig::new();
        let _ = settings.set("bootstrap.servers", brokers.bootstrap_servers());
        let answer = Duration::from_millis(10);
        brokers.broker_round_trip_time(1, answer).unwrap();
        let producer = HeardProducer::make(&settings, DefaultProducerContext).expect("made");
        let mut durations = Vec::new();
        for _ in 0..20 {
            producer.send(BaseRecord::<(), [u8]>::to("t").payload(b"v")).expect("queued");
            let started = Instant::now();
            assert!(producer.flush(Duration::from_secs(10)));
            durations.push(started.elapsed());
        }
        durations.sort();
        // Were events heard every 50 ms only, the flush would wait for that long.
        assert!(
            durations[durations.len() / 2] < answer + Duration::from_millis(20),
            "{durations:?}"
        );
    }

    /// CPU time of the threads with this name, as far as the kernel tells it.
    fn cpu(name: &str) -> Duration {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let read = |task: &std::fs::DirEntry, file| std::fs::read_to_string(task.path().join(file));
        let mine = tasks.filter(|task| read(task, "comm").is_ok_and(|comm| comm.trim() == name));
        let nanos = mine.filter_map(|task| {
            read(&task, "schedstat").ok()?.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    #[test]
    fn a_producer_that_has_nothing_to_do_costs_nothing_and_ends_at_once() {
        let settings = ClientConfig::new();
        let producer = HeardProducer::make(&settings, DefaultProducerContext).expect("made");
        std::thread::sleep(Duration::from_millis(200));
        let before = cpu("producer-events");
        std::thread::sleep(Duration::from_secs(3));
        let used = cpu("producer-events").saturating_sub(before);
        // Of rust-rdkafka's thread it is 20 ms.
        assert!(used < Duration::from_millis(10), "{used:?} in 3 s");
        drop(producer);
    }
}
