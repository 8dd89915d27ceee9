//! Pulls in the background of a chat: a thread for each, which reports its news, can be stopped, and never holds up whoever
//! leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use gibber_hub::Cancel;

use super::news::{FloatsWish, PullEnd, PullId, PullNews, PullStep};

/// How long leaving waits for a pull to put away what it has: what it does not write now is fetched again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Carries out a pull: of a name, with what is to become of floats and a way to report news (all but the end), until it is
/// cancelled.
pub type Work = dyn Fn(&str, FloatsWish, &dyn Fn(PullStep), &Cancel) -> PullEnd + Send + Sync;

/// The pulls that are at work.
pub struct Jobs {
    work: Arc<Work>,
    sender: Sender<PullNews>,
    news: Receiver<PullNews>,
    running: Vec<Job>,
}

struct Job {
    id: PullId,
    name: String,
    cancel: Cancel,
    /// Closed once its thread has ended.
    ended: Receiver<()>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("running", &self.names()).finish_non_exhaustive()
    }
}

impl Jobs {
    /// None yet; each will be carried out by `work`.
    pub fn new(work: Arc<Work>) -> Self {
        let (sender, news) = unbounded();
        Self { work, sender, news, running: Vec::new() }
    }

    /// Where they report their news. Its sender is never gone while this is there.
    pub fn news(&self) -> &Receiver<PullNews> {
        &self.news
    }

    /// The names that are at work.
    fn names(&self) -> Vec<&str> {
        self.running.iter().filter(|job| !job.has_ended()).map(|job| job.name.as_str()).collect()
    }

    /// Begins one.
    pub fn start(&mut self, id: PullId, name: &str, floats: FloatsWish) {
        self.running.retain(|job| !job.has_ended());
        let (cancel, (alive, ended)) = (Cancel::new(), bounded::<()>(0));
        let reporter = Reporter { id, name: name.to_owned(), sender: self.sender.clone() };
        let (work, flag) = (Arc::clone(&self.work), cancel.clone());
        let thread = std::thread::Builder::new().name("pull".to_owned()).spawn(move || {
            let _alive = alive;
            run(&reporter, &*work, floats, &flag);
        });
        match thread {
            Ok(_) => self.running.push(Job { id, name: name.to_owned(), cancel, ended }),
            Err(error) => {
                let failure = format!("{name} cannot be pulled: the system gives no thread for it: {error}");
                let reporter = Reporter { id, name: name.to_owned(), sender: self.sender.clone() };
                reporter.report(PullStep::Ended(PullEnd::Failed(failure)));
            }
        }
    }

    /// Asks one to stop; its end comes with its news.
    pub fn stop(&self, id: PullId) {
        self.running.iter().filter(|job| job.id == id).for_each(|job| job.cancel.cancel());
    }

    /// Stops all, and waits a moment for them to put away what they have; returns the names of those that were at work.
    pub fn leave(&mut self) -> Vec<String> {
        let names = self.names().into_iter().map(str::to_owned).collect();
        let deadline = Instant::now() + PATIENCE;
        self.running.iter().for_each(|job| job.cancel.cancel());
        for job in self.running.drain(..) {
            // Nothing is ever sent: it ends with the thread, or with the time.
            let _ = job.ended.recv_deadline(deadline);
        }
        names
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Job {
    fn has_ended(&self) -> bool {
        matches!(self.ended.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected))
    }
}

/// Reports the news of one pull.
struct Reporter {
    id: PullId,
    name: String,
    sender: Sender<PullNews>,
}

impl Reporter {
    fn report(&self, step: PullStep) {
        // Whoever has left does not listen.
        let _ = self.sender.send(PullNews { id: self.id, name: self.name.clone(), step });
    }
}

/// Carries out a pull: whatever happens to it, its end is reported, and once.
fn run(reporter: &Reporter, work: &Work, floats: FloatsWish, cancel: &Cancel) {
    let report = |step| reporter.report(step);
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&reporter.name, floats, &report, cancel)));
    let end = outcome.unwrap_or_else(|_| {
        PullEnd::Failed(format!("{} cannot be pulled: a fault of the program, please report it", reporter.name))
    });
    reporter.report(PullStep::Ended(end));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than anything here takes; it only keeps a test from hanging.
    const LONG: Duration = Duration::from_secs(30);

    fn jobs(work: impl Fn(&str, &dyn Fn(PullStep), &Cancel) -> PullEnd + Send + Sync + 'static) -> Jobs {
        Jobs::new(Arc::new(move |name: &str, _, report: &dyn Fn(PullStep), cancel: &Cancel| work(name, report, cancel)))
    }

    fn next(jobs: &Jobs) -> (PullId, PullStep) {
        let news = jobs.news().recv_timeout(LONG).unwrap();
        (news.id, news.step)
    }

    fn until_stopped(cancel: &Cancel) -> PullEnd {
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        PullEnd::Stopped
    }

    #[test]
    fn a_pull_reports_its_news_and_one_end() {
        let mut jobs = jobs(|name, report, _| {
            report(PullStep::Chosen(format!("{name}, whole")));
            PullEnd::Here { model: name.to_owned(), note: None, floats: None }
        });
        jobs.start(PullId(7), "tiny", FloatsWish::Keep);
        assert_eq!(next(&jobs), (PullId(7), PullStep::Chosen("tiny, whole".to_owned())));
        let end = PullEnd::Here { model: "tiny".to_owned(), note: None, floats: None };
        assert_eq!(next(&jobs), (PullId(7), PullStep::Ended(end)));
        assert!(jobs.news().try_recv().is_err());
    }

    #[test]
    fn one_that_is_stopped_ends_and_the_other_goes_on() {
        let mut jobs = jobs(|_, _, cancel| until_stopped(cancel));
        jobs.start(PullId(1), "a", FloatsWish::Keep);
        jobs.start(PullId(2), "b", FloatsWish::Keep);
        jobs.stop(PullId(2));
        assert_eq!(next(&jobs), (PullId(2), PullStep::Ended(PullEnd::Stopped)));
        assert!(jobs.names().contains(&"a"));
        assert_eq!(jobs.leave().first().map(String::as_str), Some("a"));
        assert_eq!(next(&jobs), (PullId(1), PullStep::Ended(PullEnd::Stopped)));
    }

    #[test]
    fn a_fault_ends_the_pull_with_an_error() {
        let mut jobs = jobs(|_, _, _| std::panic::panic_any("a fault"));
        jobs.start(PullId(1), "a", FloatsWish::Keep);
        let (_, PullStep::Ended(PullEnd::Failed(error))) = next(&jobs) else { panic!("no failure") };
        assert!(error.contains("a cannot be pulled"), "{error}");
    }

    #[test]
    fn leaving_is_bounded_whatever_a_pull_does() {
        let (release, wait) = bounded::<()>(0);
        let mut jobs = jobs(move |_, _, _| {
            let _ = wait.recv();
            PullEnd::Stopped
        });
        jobs.start(PullId(1), "stuck", FloatsWish::Keep);
        let before = Instant::now();
        assert_eq!(jobs.leave(), ["stuck"]);
        assert!(before.elapsed() < LONG);
        drop(release);
    }
}
