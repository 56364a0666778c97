//! The processes' log entries, taken into the recording.

use mallocop::model::fault::FaultReport;
use mallocop::model::finding_report::FindingReport;
use mallocop::model::leak_report::{Leak, LeakReport, LeakSummary, Reachable};
use mallocop::model::unwatched::PreloadObstacle;
use mallocop::trace::LogEntry;
use mallocop::trace::reader::ByteSource;

use super::{News, RecordingBuilder};

impl<B: ByteSource> RecordingBuilder<B> {
    /// Takes an entry that is not on where code is.
    pub(super) fn take(&mut self, number: u32, entry: LogEntry, bytes: &[u8]) -> Option<News> {
        match entry {
            LogEntry::Text => return Some(News::Text(String::from_utf8_lossy(bytes).into_owned())),
            LogEntry::Finding => {
                let report: FindingReport = postcard::from_bytes(bytes).ok()?;
                let report = report.map_sites(&mut |site| self.translate(number, site));
                let process = self.seen.get(&number)?.number;
                let findings = &mut self.recording.processes.get_mut(process)?.findings;
                findings.push(report);
                return Some(News::Finding(process, findings.len() - 1));
            }
            LogEntry::Fault => {
                let report: FaultReport = postcard::from_bytes(bytes).ok()?;
                let report = report.map_sites(&mut |site| self.translate(number, site));
                let process = self.seen.get(&number)?.number;
                self.recording.processes.get_mut(process)?.fault = Some(report);
                return Some(News::Fault(process));
            }
            LogEntry::Leak => {
                let leak: Leak = postcard::from_bytes(bytes).ok()?;
                let leak = leak.map_sites(&mut |site| self.translate(number, site));
                self.seen.get_mut(&number)?.leaks.push(leak);
            }
            LogEntry::Object => {
                let object = postcard::from_bytes(bytes).ok()?;
                self.seen.get_mut(&number)?.leaks.last_mut()?.objects.push(object);
            }
            LogEntry::Reachable => {
                self.take_reachable(number, postcard::from_bytes(bytes).ok()?)?
            }
            LogEntry::Sum => {
                let sum: LeakSummary = postcard::from_bytes(bytes).ok()?;
                let seen = self.seen.get_mut(&number)?;
                let (leaks, reachable) =
                    (std::mem::take(&mut seen.leaks), std::mem::take(&mut seen.reachable));
                let is_news = !sum.is_final;
                let process = seen.number;
                let reports = &mut self.recording.processes.get_mut(process)?.leak_reports;
                reports.push(LeakReport { leaks, reachable, sum });
                return is_news.then(|| News::LeakReport(process, reports.len() - 1));
            }
            LogEntry::Unwatched => {
                let (obstacle, path) =
                    postcard::from_bytes::<(PreloadObstacle, &[u8])>(bytes).ok()?;
                let path = String::from_utf8_lossy(path).into_owned();
                self.recording.unwatched.push((path, obstacle));
            }
            LogEntry::Program | LogEntry::Module => {}
        }
        None
    }

    fn take_reachable(&mut self, number: u32, reachable: Reachable) -> Option<()> {
        if self.keeps_all {
            let reachable = reachable.map_sites(&mut |site| self.translate(number, site));
            self.seen.get_mut(&number)?.reachable.push(reachable);
            return Some(());
        }
        // Of thousands of processes only the sum is shown.
        let sum = &mut self.seen.get_mut(&number)?.reachable;
        match sum.first_mut() {
            Some(sum) => sum.totals.add(reachable.totals),
            None => sum.push(Reachable { totals: reachable.totals, ..Reachable::default() }),
        }
        Some(())
    }
}
