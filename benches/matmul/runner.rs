//! Approaches in this process and, where a library takes its number of threads from the environment or is not linked here,
//! in others.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::case::Case;
use super::measure::{Description, Local};

/// A process that times approaches.
pub trait Runner {
    fn approaches(&self) -> Vec<Description>;

    /// Takes up a case, and checks that each approach gives the right numbers.
    fn start(&mut self, case: Case) -> Result<(), String>;

    /// One product with each copy of the weights.
    fn time(&mut self, approach: usize) -> Result<Duration, String>;

    /// How long the threads of an approach may keep the cores busy after its last product.
    fn settle(&self) -> Duration;
}

impl Runner for Local {
    fn approaches(&self) -> Vec<Description> {
        self.approaches()
    }

    fn start(&mut self, case: Case) -> Result<(), String> {
        self.start(case)
    }

    fn time(&mut self, approach: usize) -> Result<Duration, String> {
        self.time(approach)
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(10)
    }
}

/// Another process, which [`serve`](super::measure::serve)s.
pub struct Remote {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    approaches: Vec<Description>,
}

impl Remote {
    /// # Errors
    /// Where it does not start, or does not say what it has.
    pub fn new(command: &mut Command) -> Result<Self, String> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        let mut remote = Self { child, stdin: Some(stdin), stdout: BufReader::new(stdout), approaches: Vec::new() };
        loop {
            let line = remote.line()?;
            if line == "ready" {
                return Ok(remote);
            }
            let mut words = line.splitn(3, ' ');
            let (Some(threads), Some(one_token), Some(name)) = (words.next(), words.next(), words.next()) else {
                return Err(format!("`{line}` describes no approach"));
            };
            let threads = threads.parse().map_err(|error| format!("`{line}`: {error}"))?;
            remote.approaches.push(Description { name: name.to_owned(), threads, one_token: one_token == "true" });
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.stdout.read_line(&mut line) {
            Ok(0) => Err("a measuring process ended early".into()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ask(&mut self, question: &str) -> Result<String, String> {
        let Some(stdin) = &mut self.stdin else { return Err("the pipe is closed".into()) };
        writeln!(stdin, "{question}").and_then(|()| stdin.flush()).map_err(|error| error.to_string())?;
        self.line()
    }
}

impl Runner for Remote {
    fn approaches(&self) -> Vec<Description> {
        self.approaches.clone()
    }

    fn start(&mut self, case: Case) -> Result<(), String> {
        match self.ask(&format!("case {case}"))?.as_str() {
            "ok" => Ok(()),
            wrong => Err(wrong.to_owned()),
        }
    }

    fn time(&mut self, approach: usize) -> Result<Duration, String> {
        let answer = self.ask(&format!("time {approach}"))?;
        answer.parse().map(Duration::from_nanos).map_err(|_| answer)
    }

    /// OpenBLAS's threads spin for 2^26 cycles before they sleep.
    fn settle(&self) -> Duration {
        Duration::from_millis(100)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It ends with its input.
        self.stdin = None;
        let _ = self.child.wait();
    }
}
