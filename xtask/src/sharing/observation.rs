//! What the observer has recorded, read.

use std::collections::HashMap;

/// The kernel's stores of one row.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// All of them.
    pub stores: u64,
    /// Those to lines that another CPU stored to as well.
    pub shared: u64,
    /// The latter by the instruction's address, most first.
    pub places: Vec<(u64, u64)>,
}

/// `COUNT` stores of an instruction to a line, by one CPU.
struct Record {
    cpu: u64,
    line: u64,
    pc: u64,
    count: u64,
}

impl Observation {
    /// Reads the observer's file; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Vec<Observation>> {
        let mut rows: Vec<Vec<Record>> = Vec::new();
        for line in text.lines() {
            if line == "observation" {
                rows.push(Vec::new());
            } else {
                rows.last_mut()?.push(Record::parse(line)?);
            }
        }
        Some(rows.iter().map(|records| Observation::of(records)).collect())
    }

    fn of(records: &[Record]) -> Observation {
        let mut cpus: HashMap<u64, u64> = HashMap::new();
        for record in records {
            *cpus.entry(record.line).or_default() |= 1 << record.cpu;
        }
        let shared = || records.iter().filter(|record| !cpus[&record.line].is_power_of_two());
        let mut places: HashMap<u64, u64> = HashMap::new();
        for record in shared() {
            *places.entry(record.pc).or_default() += record.count;
        }
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_by_key(|&(pc, count)| (std::cmp::Reverse(count), pc));
        Observation {
            stores: records.iter().map(|record| record.count).sum(),
            shared: shared().map(|record| record.count).sum(),
            places,
        }
    }
}

impl Record {
    fn parse(line: &str) -> Option<Record> {
        let mut fields = line.split(' ').map(|field| u64::from_str_radix(field, 16).ok());
        let mut field = || fields.next().flatten();
        Some(Record { cpu: field().filter(|&cpu| cpu < 64)?, line: field()?, pc: field()?, count: field()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shared_if_two_cpus_store_to_it() {
        let text = "observation\n0 10 f0 3\n1 10 f1 4\n1 11 f0 a\nobservation\n2 10 f0 1\n";
        let [first, second] = &Observation::parse(text).unwrap()[..] else { panic!("two rows") };
        assert_eq!((first.stores, first.shared), (17, 7));
        assert_eq!(first.places, [(0xf1, 4), (0xf0, 3)]);
        assert_eq!(second, &Observation { stores: 1, shared: 0, places: Vec::new() });
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(Observation::parse("0 10 f0 3\n"), None);
        assert_eq!(Observation::parse("observation\n0 10 f0\n"), None);
        assert_eq!(Observation::parse("observation\n40 10 f0 1\n"), None);
    }
}
