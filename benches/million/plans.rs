//! What `auto_explain` wrote into the log of the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Has the server explain every statement of a session, also those inside of functions, with rows and buffers.
pub(crate) const SETTINGS: [&str; 6] = [
    "session_preload_libraries=auto_explain",
    "auto_explain.log_min_duration=0",
    "auto_explain.log_nested_statements=on",
    "auto_explain.log_triggers=off",
    "auto_explain.log_analyze=on",
    "auto_explain.log_buffers=on",
];

/// A read of a table or of an index.
#[derive(Clone, Debug, PartialEq)]
struct Scan {
    /// `Seq Scan`, `Index Only Scan` and so on.
    how: String,
    index: Option<String>,
    /// Table; for a bitmap the index.
    of: String,
    /// Rows that it came past, those that it dropped included.
    rows: f64,
}

/// One or more statements that ran for one call.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    scans: Vec<Scan>,
    /// Pages that the statements touched, in memory or on the disk.
    pub(crate) pages: u64,
    /// Statements, those inside of functions included.
    pub(crate) statements: usize,
}

impl Plans {
    /// Reads what was logged meanwhile.
    pub(crate) fn parse(log: &str) -> Self {
        let mut plans = Self::default();
        for plan in log.split("LOG:  duration:").skip(1) {
            plans.statements += 1;
            // What was logged in the name of a function is a part of the statement that called it.
            let nested = plan.contains("\nCONTEXT:") || plan.lines().any(|line| line.contains(" CONTEXT: "));
            let mut buffers = None;
            for line in plan.lines().map(str::trim) {
                if let Some(scan) = Scan::parse(line) {
                    plans.scans.push(scan);
                } else if let Some(dropped) = line.strip_prefix("Rows Removed by ") {
                    let count = dropped.split(": ").nth(1).and_then(|count| count.parse::<f64>().ok());
                    if let Some(scan) = plans.scans.last_mut() {
                        scan.rows += count.unwrap_or_default();
                    }
                } else if let Some(touched) = line.strip_prefix("Buffers: ") {
                    buffers.get_or_insert_with(|| pages(touched));
                }
            }
            if !nested {
                plans.pages += buffers.unwrap_or_default();
            }
        }
        plans
    }

    /// What is wrong with them, if `large` are the tables that nobody may read as a whole.
    pub(crate) fn faults(&self, large: &BTreeSet<String>, most_rows: f64) -> Vec<(String, f64)> {
        let wrong = |scan: &&Scan| {
            let whole = scan.how.ends_with("Seq Scan") && large.contains(&scan.of);
            whole || scan.rows > most_rows
        };
        self.scans.iter().filter(wrong).map(|scan| (scan.to_string(), scan.rows)).collect()
    }
}

impl Scan {
    fn parse(line: &str) -> Option<Self> {
        let (node, costs) = line.trim_start_matches("->").trim().split_once("  (cost=")?;
        let (how, rest) = node.split_once(" on ").filter(|(how, _)| how.contains("Scan"))?;
        let (how, index) = match how.split_once(" using ") {
            Some((how, index)) => (how, Some(index.to_owned())),
            None => (how, None),
        };
        let actual = costs.split_once("(actual ").map_or("", |(_, actual)| actual);
        let number = |name: &str| {
            let value = actual.split(name).nth(1)?.split([' ', ')']).next()?;
            value.parse::<f64>().ok()
        };
        let rows = number("rows=").unwrap_or_default() * number("loops=").unwrap_or_default();
        let of = rest.split(' ').next()?.trim_start_matches("mmr.").to_owned();
        Some(Self { how: how.to_owned(), index, of, rows })
    }
}

impl fmt::Display for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.index {
            Some(index) => f.write_str(index),
            None if self.how == "Bitmap Index Scan" => write!(f, "{} (bitmap)", self.of),
            None => write!(f, "{} of {}", self.how, self.of),
        }
    }
}

/// Ways to rows, each with the number of rows that it came past.
impl fmt::Display for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ways = BTreeMap::<String, f64>::new();
        // The others are of what these came up with.
        let is_way = |scan: &&Scan| {
            !matches!(&*scan.how, "Bitmap Heap Scan" | "CTE Scan" | "Function Scan" | "Subquery Scan")
        };
        for scan in self.scans.iter().filter(is_way) {
            *ways.entry(scan.to_string()).or_default() += scan.rows;
        }
        let ways = ways.iter().map(|(way, rows)| format!("{way} {rows:.0}"));
        f.write_str(&ways.collect::<Vec<_>>().join(", "))
    }
}

/// From `shared hit=4 read=1`.
fn pages(buffers: &str) -> u64 {
    let counts = buffers.split([' ', ',']).filter_map(|word| word.split_once('='));
    let touched = counts.filter(|(what, _)| matches!(*what, "hit" | "read"));
    touched.filter_map(|(_, count)| count.parse::<u64>().ok()).sum()
}
