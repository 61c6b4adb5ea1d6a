//! Input that can be recomputed.

use std::collections::HashMap;

/// Seeded lines of Zipf words, and what they should count to.
pub struct Lines {
    random: fastrand::Rng,
    vocabulary: Vec<String>,
    cumulated: Vec<f64>,
    pub counts: Vec<u64>,
}

impl Lines {
    pub fn new(seed: u64, distinct: usize) -> Lines {
        let letters = |i: usize| -> String {
            let len = 2 + i % 7;
            let word: String = (0..len)
                .map(|k| char::from(b'a' + ((i * 7 + k * 13 + i / 26) % 26) as u8))
                .collect();
            format!("{word}{i:x}")
        };
        let mut sum = 0.0;
        let cumulated = (0..distinct)
            .map(|i| {
                sum += 1.0 / (i + 1) as f64;
                sum
            })
            .collect();
        Lines {
            random: fastrand::Rng::with_seed(seed),
            vocabulary: (0..distinct).map(letters).collect(),
            cumulated,
            counts: vec![0; distinct],
        }
    }

    /// The next line, into a buffer.
    pub fn next(&mut self, line: &mut String) {
        line.clear();
        let total = self.cumulated[self.cumulated.len() - 1];
        for k in 0..self.random.usize(5..=15) {
            let x = self.random.f64() * total;
            let word = self.cumulated.partition_point(|c| *c < x).min(self.vocabulary.len() - 1);
            self.counts[word] += 1;
            if k > 0 {
                line.push(' ');
            }
            line.push_str(&self.vocabulary[word]);
        }
    }

    pub fn expected(&self) -> HashMap<String, u64> {
        let counted = self.vocabulary.iter().zip(&self.counts).filter(|(_, n)| **n > 0);
        counted.map(|(w, n)| (w.clone(), *n)).collect()
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}
