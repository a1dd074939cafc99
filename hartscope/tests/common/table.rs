//! The tables of profiles.

use std::collections::BTreeMap;

/// A table: for each function, how many instructions in all and by vCPU.
pub fn rows(table: &str) -> BTreeMap<&str, Vec<u64>> {
    let (head, rows) = table.split_once('\n').expect("there is a head");
    let columns = 1 + head.matches("vcpu").count();
    let mut all = BTreeMap::new();
    for row in rows.lines() {
        let mut rest = row;
        let mut numbers = Vec::new();
        for column in 0..=columns {
            let (word, behind) = rest.trim_start().split_once(' ').expect(row);
            // The second is the percentage.
            if column != 1 {
                numbers.push(word.parse::<u64>().expect(row));
            }
            rest = behind;
        }
        assert_eq!(numbers[0], numbers[1..].iter().sum::<u64>(), "{row}");
        let again = all.insert(rest.trim_start(), numbers);
        assert_eq!(again, None, "{row}");
    }
    let sums = all.remove("(all)").expect("there are sums");
    for (column, sum) in sums.iter().enumerate() {
        let of_rows: u64 = all.values().map(|numbers| numbers[column]).sum();
        assert_eq!(of_rows, *sum, "{table}");
    }
    all.insert("(all)", sums);
    all
}
