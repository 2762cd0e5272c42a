//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write as _};

use weir_model::figures::{BOUNDS_US, HistogramFigures};

use super::metrics::{Kind, Metric};

/// A page of metrics, written family after family.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

/// Names and values of one series.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a family; its series follow.
    pub(super) fn family(&mut self, metric: &Metric) {
        let Metric { name, kind, help } = metric;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One series.
    pub(super) fn series(&mut self, metric: &Metric, labels: Labels<'_>, value: impl Display) {
        let labels = rendered(labels);
        self.line(format_args!("{}{labels} {value}", metric.name));
    }

    /// A family of one series without labels.
    pub(super) fn single(&mut self, metric: &Metric, value: impl Display) {
        self.family(metric);
        self.series(metric, &[], value);
    }

    /// The series of one histogram, in seconds.
    pub(super) fn histogram(
        &mut self,
        metric: &Metric,
        labels: Labels<'_>,
        figures: &HistogramFigures,
    ) {
        let name = metric.name;
        let mut below = 0;
        for (bound_us, count) in BOUNDS_US.iter().zip(&figures.counts) {
            below += count;
            let bound = seconds(*bound_us);
            let labels = rendered(&[labels, &[("le", &bound)]].concat());
            self.line(format_args!("{name}_bucket{labels} {below}"));
        }
        let all = figures.count();
        let every = rendered(&[labels, &[("le", "+Inf")]].concat());
        let labels = rendered(labels);
        self.line(format_args!("{name}_bucket{every} {all}"));
        self.line(format_args!(
            "{name}_sum{labels} {}",
            seconds(figures.sum_us)
        ));
        self.line(format_args!("{name}_count{labels} {all}"));
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Without the inexactness of binary fractions: `0.0025`, `1`.
fn seconds(us: u64) -> String {
    let (whole, rest) = (us / 1_000_000, us % 1_000_000);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{rest:06}");
    text.trim_end_matches('0').to_owned()
}

fn rendered(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRIC: Metric = Metric {
        name: "m",
        kind: Kind::Histogram,
        help: "Help.",
    };

    #[test]
    fn buckets_add_up_and_end_with_all() {
        let mut figures = HistogramFigures::default();
        (figures.counts[0], figures.counts[4], figures.counts[16]) = (1, 2, 3);
        figures.sum_us = 1_002_500;
        let mut page = Page::default();
        page.family(&METRIC);
        page.histogram(&METRIC, &[("a", "b")], &figures);
        let text = page.finish();
        for line in [
            "# TYPE m histogram",
            "m_bucket{a=\"b\",le=\"0.0001\"} 1",
            "m_bucket{a=\"b\",le=\"0.0025\"} 3",
            "m_bucket{a=\"b\",le=\"30\"} 3",
            "m_bucket{a=\"b\",le=\"+Inf\"} 6",
            "m_sum{a=\"b\"} 1.0025",
            "m_count{a=\"b\"} 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    #[test]
    fn a_label_from_a_client_cannot_leave_its_quotes() {
        let value = "a\"} 1\nm 2 \\";
        let text = rendered(&[("group", value)]);
        assert_eq!(text, "{group=\"a\\\"} 1\\nm 2 \\\\\"}");
    }
}
