// SPDX-License-Identifier: MIT OR Apache-2.0
//! The figures of a report: the machine, and a distribution per row. As JSON they are the file that
//! later runs are compared with.

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use report::value;
use serde::{Deserialize, Serialize};

/// The format of the JSON file.
pub const FORMAT: u32 = 1;

/// What the guest says about the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// `CNTFRQ_EL0`, counter ticks per second.
    pub hz: u64,
    /// `MIDR_EL1`, hexadecimal: the core's type.
    pub midr: String,
    /// `MPIDR_EL1`, hexadecimal, of the vCPU that measured.
    pub mpidr: String,
    /// The GIC's version.
    pub gic: u32,
    /// `ID_AA64DFR0_EL1.PMUVer`: 0 if the guest has no PMU.
    pub pmu: u32,
    /// Ticks of the virtual counter over some time, and of the physical one.
    pub virtual_ticks: u64,
    /// See `virtual_ticks`.
    pub physical_ticks: u64,
    /// The core's clock, from a chain of dependent instructions against the counter.
    pub chain_hz: u64,
}

/// A row: one distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured: docs/hil.md lists the names.
    pub name: String,
    /// The way of waiting.
    pub way: String,
    /// `direct` or `relayed`.
    pub path: String,
    /// What the other cores did.
    pub load: String,
    /// Bytes of a message or copy, 0 if there is none.
    pub bytes: u64,
    /// Messages that one value is the time of.
    pub burst: u64,
    /// Number of values.
    pub count: u64,
    /// The least value, ticks.
    pub min: u64,
    /// The largest value, ticks.
    pub max: u64,
    /// Sum of all values, ticks.
    pub sum: u64,
    /// Least value, largest value and count of every bucket that has values.
    pub buckets: Vec<(u64, u64, u64)>,
    /// The distribution in nanoseconds.
    #[serde(default)]
    pub ns: Ns,
}

/// A distribution's main values, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ns {
    /// The least.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// Half of all values are at most this.
    pub p50: f64,
    /// 99 % are.
    pub p99: f64,
    /// 99.9 % are.
    pub p999: f64,
    /// The worst.
    pub max: f64,
}

/// All figures, with what they are figures of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// [`FORMAT`].
    pub format: u32,
    /// Whether the machine is an emulator: its times say nothing about silicon.
    pub emulated: bool,
    /// The board's name.
    pub board: String,
    /// The port.
    pub port: String,
    /// Values per row that were asked for.
    pub samples: u32,
    /// Reports that are merged here.
    pub reports: u32,
    /// Attempts at them.
    pub attempts: u32,
    /// The machine.
    pub machine: Machine,
    /// What firmware printed before EL2's first line.
    pub firmware: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Reads `name=value` of a payload as a number.
fn number<T: std::str::FromStr>(payload: &str, name: &str) -> Result<T> {
    let text = value(payload, name);
    let number = text.and_then(|text| text.parse().ok());
    number.with_context(|| format!("the report's line `{payload}` has no number {name}"))
}

fn text(payload: &str, name: &str) -> Result<String> {
    let text = value(payload, name).map(str::to_owned);
    text.with_context(|| format!("the report's line `{payload}` has no {name}"))
}

impl Figures {
    /// Reads a report.
    ///
    /// # Errors
    /// If its lines are whole, but not those of a report.
    pub fn parse(payloads: &[String]) -> Result<Self> {
        let mut figures = Self { format: FORMAT, reports: 1, attempts: 1, ..Self::default() };
        for payload in payloads {
            match payload.split(' ').next() {
                Some("begin") => figures.samples = number(payload, "samples")?,
                Some("machine") => {
                    figures.machine = Machine {
                        hz: number(payload, "hz")?,
                        midr: text(payload, "midr")?,
                        mpidr: text(payload, "mpidr")?,
                        gic: number(payload, "gic")?,
                        pmu: number(payload, "pmu")?,
                        ..figures.machine
                    };
                    ensure!(figures.machine.hz > 0, "the report's counter has 0 Hz");
                }
                Some("check") => {
                    figures.machine.virtual_ticks = number(payload, "virtual")?;
                    figures.machine.physical_ticks = number(payload, "physical")?;
                    figures.machine.chain_hz = number(payload, "chain-hz")?;
                }
                Some("row") => figures.rows.push(Row::parse(payload)?),
                Some("sum") => {
                    let row = figures.row_of(payload)?;
                    row.count = number(payload, "count")?;
                    row.min = number(payload, "min")?;
                    row.max = number(payload, "max")?;
                    row.sum = number(payload, "sum")?;
                }
                Some("h") => figures.row_of(payload)?.take_buckets(payload)?,
                Some("end") => {
                    let rows: usize = number(payload, "rows")?;
                    ensure!(rows == figures.rows.len(), "the report has not {rows} rows");
                }
                _ => bail!("the report has an unknown line: `{payload}`"),
            }
        }
        figures.complete()?;
        Ok(figures)
    }

    fn row_of(&mut self, payload: &str) -> Result<&mut Row> {
        let id: usize = number(payload, "id")?;
        ensure!(id + 1 == self.rows.len(), "the report's line `{payload}` is of another row");
        self.rows.last_mut().context("a row")
    }

    /// Computes what follows from the buckets.
    fn complete(&mut self) -> Result<()> {
        let hz = self.machine.hz;
        for row in &mut self.rows {
            let counted: u64 = row.buckets.iter().map(|bucket| bucket.2).sum();
            ensure!(
                counted == row.count && row.count > 0,
                "row {}: its buckets have {counted} values, not {}",
                row.key(),
                row.count
            );
            row.ns = row.nanoseconds(hz)?;
        }
        Ok(())
    }

    /// Adds another report of the same rows.
    ///
    /// # Errors
    /// If its rows are others.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let keys = |figures: &Self| figures.rows.iter().map(Row::key).collect::<Vec<_>>();
        ensure!(keys(self) == keys(other), "two reports of one session have different rows");
        for (row, more) in self.rows.iter_mut().zip(&other.rows) {
            row.count += more.count;
            row.sum += more.sum;
            row.min = row.min.min(more.min);
            row.max = row.max.max(more.max);
            for &(low, high, count) in &more.buckets {
                match row.buckets.iter_mut().find(|bucket| bucket.0 == low) {
                    Some(bucket) => bucket.2 += count,
                    None => row.buckets.push((low, high, count)),
                }
            }
            row.buckets.sort_unstable();
        }
        self.reports += other.reports;
        self.attempts += other.attempts;
        self.complete()
    }

    /// Returns the row of this key.
    pub fn find(&self, key: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.key() == key)
    }

    /// Returns the figures as JSON.
    ///
    /// # Errors
    /// If a figure has no form in JSON.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Reads figures from a file's text.
    ///
    /// # Errors
    /// If it is not such a file.
    pub fn from_json(text: &str) -> Result<Self> {
        let figures: Self = serde_json::from_str(text)
            .context("expected figures of `cargo xtask hil`: its hil.json")?;
        let format = figures.format;
        ensure!(format == FORMAT, "its format is {format}, and this command reads {FORMAT}");
        Ok(figures)
    }
}

impl Row {
    fn parse(payload: &str) -> Result<Self> {
        Ok(Self {
            name: text(payload, "name")?,
            way: text(payload, "way")?,
            path: text(payload, "path")?,
            load: text(payload, "load")?,
            bytes: number(payload, "bytes")?,
            burst: number(payload, "burst")?,
            count: 0,
            min: 0,
            max: 0,
            sum: 0,
            buckets: Vec::new(),
            ns: Ns::default(),
        })
    }

    fn take_buckets(&mut self, payload: &str) -> Result<()> {
        for pair in payload.split(' ').filter(|word| word.contains(':')) {
            let fields = pair.split_once(':');
            let fields = fields.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let (bucket, count): (usize, u64) =
                fields.with_context(|| format!("the report has no bucket `{pair}`"))?;
            ensure!(bucket < report::BUCKETS, "the report has no bucket {bucket}");
            let (low, high) = report::range(bucket);
            self.buckets.push((low, high, count));
        }
        Ok(())
    }

    /// Returns the words that tell this row from every other one.
    pub fn key(&self) -> String {
        let Self { name, way, path, load, bytes, .. } = self;
        format!("{name} {way} {path} {load} {bytes}")
    }

    /// Returns the distribution in nanoseconds. A quantile is the upper end of its bucket.
    fn nanoseconds(&self, hz: u64) -> Result<Ns> {
        let mut histogram = Histogram::<u64>::new(3)?;
        for &(_, high, count) in &self.buckets {
            // No value is larger than the worst, which is exact.
            histogram.record_n(high.min(self.max), count)?;
        }
        let ns = |ticks: f64| ticks * 1e9 / hz as f64;
        let quantile = |part| ns(histogram.value_at_quantile(part).min(self.max) as f64);
        Ok(Ns {
            min: ns(self.min as f64),
            mean: ns(self.sum as f64 / self.count as f64),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: ns(self.max as f64),
        })
    }

    /// Returns megabytes per second, for rows of copies and streams.
    pub fn megabytes_per_second(&self) -> Option<f64> {
        let moves = matches!(self.name.as_str(), "stream" | "copy-plain" | "copy-channel");
        let bytes = (self.bytes * self.burst) as f64;
        (moves && self.ns.mean > 0.0).then(|| bytes * 1e3 / self.ns.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Vec<String> {
        let bucket = report::bucket(6250);
        [
            "begin nonce=0000000000000001 version=1 rows=1 samples=100",
            "machine hz=62500000 midr=410fd083 mpidr=80000000 gic=2 pmu=0",
            "check virtual=1000 physical=1001 chain-hz=1500000000",
            "row id=0 name=message-one-way way=poll path=direct load=none bytes=64 burst=1",
            "sum id=0 count=1000 min=10 max=6250 sum=15000",
            &format!("h id=0 10:990 12:9 {bucket}:1"),
            "end lines=7 rows=1",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn a_report_becomes_figures_and_back() {
        let figures = Figures::parse(&report()).expect("a report");
        let row = &figures.rows[0];
        assert_eq!(row.key(), "message-one-way poll direct none 64");
        assert_eq!(figures.machine.chain_hz, 1_500_000_000);
        // A tick is 16 ns; the quantiles are those of 1000 values.
        let Ns { min, mean, p50, p99, p999, max } = row.ns;
        assert_eq!(
            (min, mean, p50, p99, p999, max),
            (160.0, 240.0, 160.0, 160.0, 192.0, 100_000.0)
        );
        let text = figures.to_json().expect("JSON");
        assert_eq!(Figures::from_json(&text).expect("the same"), figures);
        assert!(Figures::from_json("[]").is_err());
        let newer = text.replacen("\"format\": 1", "\"format\": 9", 1);
        let why = Figures::from_json(&newer).unwrap_err().to_string();
        assert!(why.contains("format is 9"), "{why}");
    }

    #[test]
    fn merged_reports_have_all_values() {
        let mut figures = Figures::parse(&report()).expect("a report");
        let other = figures.clone();
        figures.merge(&other).expect("the same rows");
        assert_eq!(
            (figures.reports, figures.rows[0].count, figures.rows[0].sum),
            (2, 2000, 30_000)
        );
        assert_eq!(figures.rows[0].ns, other.rows[0].ns);
        let mut strange = other.clone();
        strange.rows[0].bytes = 1;
        assert!(figures.merge(&strange).is_err());
    }

    #[test]
    fn a_report_that_makes_no_sense_is_refused() {
        let with = |from: &str, to: &str| {
            let lines: Vec<_> = report().iter().map(|line| line.replace(from, to)).collect();
            format!("{:#}", Figures::parse(&lines).unwrap_err())
        };
        assert!(with("count=1000", "count=999").contains("its buckets have 1000 values"));
        assert!(with("hz=62500000", "hz=0").contains("0 Hz"));
        assert!(with("10:990", "9999:990").contains("no bucket 9999"));
        assert!(with("sum id=0", "sum id=1").contains("another row"));
        assert!(with("rows=1", "rows=2").contains("not 2 rows"));
        assert!(with("way=poll", "way").contains("no way"));
        assert!(with("check virtual", "chick virtual").contains("unknown line"));
    }
}
