//! What `daemon.memory` is spent on before it holds a record.

/// What the program needs whatever it does: its clients, its threads, and pages that the allocator
/// has not given back yet. Bytes, for the whole process.
const BASE: usize = 40 << 20;
/// The largest budget of which the base is a quarter. Bytes.
const SMALL: usize = BASE * 4;

/// What a worker needs for its thread and its producer, whose threads and connections live as long
/// as it has something to commit. Bytes.
pub const PRODUCER: usize = 2 << 20;

/// What is left of a budget for workers and their records, bytes.
#[must_use]
pub fn without_program(budget: usize) -> usize {
    budget.saturating_sub(budget.min(SMALL) / 4)
}

/// What so many workers leave of a budget for records, bytes. A quarter at least is left: what
/// needs more is refused ([`smallest_for`]), or has come with a rebalance.
#[must_use]
pub fn for_records(budget: usize, workers: usize) -> usize {
    let whole = without_program(budget);
    whole.saturating_sub(PRODUCER.saturating_mul(workers)).max(whole / 4)
}

/// The smallest budget that holds so many workers and leaves a quarter for records, in whole MiB.
#[must_use]
pub fn smallest_for(workers: usize) -> usize {
    let with_a_third = |bytes: usize| bytes.saturating_add(bytes.div_ceil(3));
    let whole = with_a_third(PRODUCER.saturating_mul(workers));
    let base = if whole < SMALL - BASE { whole.div_ceil(3) } else { BASE };
    whole.saturating_add(base).div_ceil(1 << 20) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_budget_holds_the_workers_and_a_quarter_for_records() {
        for workers in 1..=2_000 {
            let budget = smallest_for(workers);
            let (whole, needed) = (without_program(budget), workers * PRODUCER);
            assert!(needed + whole / 4 <= whole, "{workers} workers in {budget}");
            assert_eq!(for_records(budget, workers), whole - needed);
            let less = without_program(budget - (2 << 20));
            assert!(less < needed + less / 4, "{workers} workers fit into less than {budget}");
        }
        assert_eq!(smallest_for(200) >> 20, 574);
    }
}
