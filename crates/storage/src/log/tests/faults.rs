//! Whatever a disk does to the newest file, what was acknowledged is read back or the damage is
//! reported: torn, short and misdirected writes and flipped bits, over random histories.

use types::Entropy;
use types::entropy::SeededEntropy;

use super::*;

const SECTOR: usize = 512;

/// The file and what it holds after every append, the first one before any.
struct History {
    _dir: TempDir,
    path: PathBuf,
    states: Vec<(Vec<u8>, LoadedLog)>,
}

impl History {
    fn new(random: &mut SeededEntropy) -> Self {
        let dir = scratch();
        let path = dir.path().join("log");
        let (mut log, mut model) = open(&path);
        let mut states = vec![(fs::read(only_file(&path)).unwrap(), model.clone())];
        for term in 1..=2 + random.below(6) {
            let (last, commit) = (log.last_index(), model.hard_state.commit);
            let first = last + 1 - random.below(last - commit + 1);
            let entries: Vec<_> = (first..=first + random.below(4))
                .map(|i| entry(i, term, random.below(2_000) as usize))
                .collect();
            let commit = commit + random.below(first - commit);
            log.append(batch(&entries, hard_state(term, commit)))
                .unwrap();
            model.entries.retain(|e| e.index < first);
            model.entries.extend(entries);
            model.hard_state = hard_state(term, commit);
            states.push((fs::read(only_file(&path)).unwrap(), model.clone()));
        }
        drop(log);
        Self {
            _dir: dir,
            path,
            states,
        }
    }

    fn newest(&self) -> usize {
        self.states.len() - 1
    }

    fn bytes(&self, step: usize) -> &[u8] {
        &self.states[step].0
    }

    /// A sector of the file after `step`; zeros where the file does not reach.
    fn sector(&self, step: usize, at: usize) -> Vec<u8> {
        let bytes = self.bytes(step).iter().skip(at * SECTOR).take(SECTOR);
        let mut sector: Vec<u8> = bytes.copied().collect();
        sector.resize(SECTOR, 0);
        sector
    }

    /// Sectors that the append of a step wrote.
    fn written(&self, step: usize) -> Vec<usize> {
        let all = 0..self.bytes(step).len().div_ceil(SECTOR);
        all.filter(|at| self.sector(step, *at) != self.sector(step - 1, *at))
            .collect()
    }

    /// Opens the log with other bytes: it must hold what one of these steps left, or be refused.
    fn must_hold(&self, bytes: &[u8], steps: &[usize], fault: &str) {
        fs::write(only_file(&self.path), bytes).unwrap();
        match EngineLog::open(config(&self.path)) {
            Ok((_, loaded)) => {
                let known = steps.iter().any(|s| self.states[*s].1 == loaded);
                assert!(known, "{fault}: read back as something that never was");
            }
            Err(OpenLogError::Damaged { .. } | OpenLogError::Newer { .. }) => {}
            Err(e) => panic!("{fault}: {e}"),
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, sector: &[u8]) {
    let from = at * SECTOR;
    bytes.resize(bytes.len().max(from + SECTOR), 0);
    bytes[from..from + SECTOR].copy_from_slice(sector);
}

fn one_of(random: &mut SeededEntropy, from: &[usize]) -> usize {
    from[random.below(from.len() as u64) as usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_write_of_which_only_some_sectors_arrived_is_cut_off(seed: u64) {
        let mut random = SeededEntropy::new(seed);
        let history = History::new(&mut random);
        let newest = history.newest();
        let written = history.written(newest);
        let mut bytes = history.bytes(newest - 1).to_vec();
        let arrived: Vec<_> = written.iter().filter(|_| random.below(2) == 0).collect();
        for at in &arrived {
            put(&mut bytes, **at, &history.sector(newest, **at));
        }
        fs::write(only_file(&history.path), &bytes).unwrap();
        let (_, loaded) = open(&history.path);
        let whole = arrived.len() == written.len();
        let expected = &history.states[if whole { newest } else { newest - 1 }].1;
        prop_assert_eq!(&loaded, expected);
    }

    #[test]
    fn a_write_that_ends_too_soon_is_cut_off(seed: u64) {
        let mut random = SeededEntropy::new(seed);
        let history = History::new(&mut random);
        let newest = history.newest();
        let (before, after) = (history.bytes(newest - 1), history.bytes(newest));
        let same = before.iter().zip(after).take_while(|(b, a)| b == a).count();
        let cut = same + random.below((after.len() - same) as u64) as usize;
        let mut bytes = before[..same].to_vec();
        bytes.extend(&after[same..cut]);
        fs::write(only_file(&history.path), &bytes).unwrap();
        let (_, loaded) = open(&history.path);
        let known = [newest - 1, newest].map(|s| &history.states[s].1);
        prop_assert!(known.contains(&&loaded), "cut at {} of {}", cut, after.len());
    }

    #[test]
    fn flipped_bits_are_reported_or_do_no_harm(seed: u64) {
        let mut random = SeededEntropy::new(seed);
        let history = History::new(&mut random);
        let newest = history.newest();
        for _ in 0..8 {
            let mut bytes = history.bytes(newest).to_vec();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            history.must_hold(&bytes, &[newest], "bits flipped");
        }
    }

    #[test]
    fn a_sector_that_was_written_elsewhere_is_reported_or_does_no_harm(seed: u64) {
        let mut random = SeededEntropy::new(seed);
        let history = History::new(&mut random);
        let newest = history.newest();
        for step in 1..=newest {
            let written = history.written(step);
            let at = one_of(&mut random, &written);
            let elsewhere = random.below(history.bytes(newest).len().div_ceil(SECTOR) as u64 + 2);
            let elsewhere = elsewhere as usize;
            let later = (step + 1..=newest).any(|s| {
                let written = history.written(s);
                written.contains(&at) || written.contains(&elsewhere)
            });
            if at == elsewhere || later {
                continue;
            }
            let mut bytes = history.bytes(newest).to_vec();
            put(&mut bytes, at, &history.sector(step - 1, at));
            put(&mut bytes, elsewhere, &history.sector(step, at));
            // The very last batch may count as torn: nothing says that it was acknowledged.
            let allowed = match step == newest {
                true => vec![newest, newest - 1],
                false => vec![newest],
            };
            history.must_hold(&bytes, &allowed, "written elsewhere");
        }
    }
}
