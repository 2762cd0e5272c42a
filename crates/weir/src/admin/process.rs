//! What the system counts of this process, under the names that all Prometheus clients use.

use std::fs;

/// Figures of this process; what the system does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProcessFigures {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) thread_count: Option<u64>,
    pub(super) start_seconds: Option<f64>,
    pub(super) open_files_count: Option<u64>,
    pub(super) max_files_count: Option<u64>,
}

/// Looks now.
pub(super) fn look() -> ProcessFigures {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let system = fs::read_to_string("/proc/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let ticks_per_s = rustix::param::clock_ticks_per_second();
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(0);
    let files = fs::read_dir("/proc/self/fd").map(|files| files.count() as u64);
    ProcessFigures {
        open_files_count: files.ok(),
        max_files_count: max_files(&limits),
        ..parse(&stat, &system, ticks_per_s, page_bytes)
    }
}

/// See proc(5): fields are counted behind the name, which may hold spaces and parentheses.
fn parse(stat: &str, system: &str, ticks_per_s: u64, page_bytes: u64) -> ProcessFigures {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return ProcessFigures::default();
    };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Field 3 of proc(5) is the first here.
    let field = |number: usize| {
        fields
            .get(number - 3)
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seconds = |ticks: u64| ticks as f64 / ticks_per_s.max(1) as f64;
    let booted = system.lines().find_map(|line| line.strip_prefix("btime "));
    let booted = booted.and_then(|text| text.trim().parse::<u64>().ok());
    let used = field(14).zip(field(15)).map(|(user, system)| user + system);
    ProcessFigures {
        cpu_seconds: used.map(seconds),
        thread_count: field(20),
        start_seconds: field(22)
            .zip(booted)
            .map(|(ticks, booted)| booted as f64 + seconds(ticks)),
        virtual_bytes: field(23),
        resident_bytes: field(24).map(|pages| pages.saturating_mul(page_bytes)),
        open_files_count: None,
        max_files_count: None,
    }
}

fn max_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_of_any_kind() {
        let stat = "7 (a) b c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 400 8192 3 184 0";
        let figures = parse(stat, "cpu 1 2\nbtime 1000\n", 100, 4096);
        assert_eq!(figures.cpu_seconds, Some(2.0));
        assert_eq!(
            (figures.thread_count, figures.virtual_bytes),
            (Some(9), Some(8192))
        );
        assert_eq!(figures.resident_bytes, Some(3 * 4096));
        assert_eq!(figures.start_seconds, Some(1004.0));
        assert_eq!(parse("", "", 100, 4096), ProcessFigures::default());
        assert_eq!(parse("1 (x) S 1", "", 100, 4096).cpu_seconds, None);
    }

    #[test]
    fn this_process_is_described() {
        let figures = look();
        assert!(figures.resident_bytes.is_some_and(|bytes| bytes > 0));
        assert!(figures.open_files_count.is_some_and(|count| count > 0));
        assert!(figures.max_files_count.is_some_and(|count| count > 0));
    }
}
