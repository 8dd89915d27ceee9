//! Shells that stop a program and have it go on.

use super::*;

/// A shell that says so when a program was stopped, and waits for Enter before it wakes it: three times, since a stop ends
/// every loop of bash.
const SHELL: &str = r#"set -m
wake() {
    kill -0 "$(cat "$1")" 2> /dev/null || return
    stty sane
    echo stopped
    read -r _
    fg > /dev/null
}
sh -c 'echo $$ > "$0"; exec "$@"' "$@"
wake "$1"
wake "$1"
wake "$1"
echo left
"#;

/// A program that is started by a shell.
struct Job {
    home: Home,
    terminal: Terminal,
}

impl Job {
    fn start(home: Home, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new("bash");
        command.args(["-c", SHELL, "bash", &home.text("pid"), env!("CARGO_BIN_EXE_gibber")]);
        command.args(arguments);
        home.environment().iter().for_each(|(name, value)| command.env(name, value));
        environment.iter().for_each(|(name, value)| command.env(name, value));
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        Self { terminal: Terminal::start(command, (120, 36)), home }
    }

    fn signal(&self, signal: Signal) {
        let number: i32 = fs::read_to_string(self.home.path("pid")).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(number).unwrap(), signal).unwrap();
    }

    /// Waits until the shell has the terminal, for the `count`th time, and wakes the program.
    fn go_on(&self, count: usize) {
        self.terminal.wait_for_screen("the shell", |screen| screen.matches("stopped\n").count() == count);
        assert!(!self.terminal.is_raw(), "the shell has a terminal with lines and echo");
        self.terminal.press(key::ENTER);
    }

    fn ended(mut self) {
        self.terminal.wait_for_text("left");
        assert!(ended(&mut self.terminal).success());
    }
}

#[test]
fn a_line_that_is_edited_goes_on_after_a_stop() {
    let job = Job::start(Home::new(), &["repl", "-n", "3"], &[]);
    job.terminal.wait_for_screen("the first line", |screen| screen.trim_end().ends_with("\n>"));
    job.terminal.press("ab");
    job.terminal.wait_for_text("> ab");
    let stops: [&dyn Fn(); 3] =
        [&|| job.terminal.press(key::CTRL_Z), &|| job.signal(Signal::TSTP), &|| job.signal(Signal::STOP)];
    for (count, (stop, more)) in stops.into_iter().zip(["cd", "ef", "gh"]).enumerate() {
        stop();
        job.go_on(count + 1);
        let typed = &"> abcdefgh"[..count * 2 + 4];
        // The line is there again, and keys come one by one.
        job.terminal.wait_for_screen("the line", |screen| screen.trim_end().ends_with(typed));
        assert!(job.terminal.is_raw());
        job.terminal.press(more);
        job.terminal.wait_for_screen("what was typed", |screen| screen.trim_end().ends_with(&format!("{typed}{more}")));
    }
    job.terminal.press(key::CTRL_C);
    job.terminal.wait_for_screen("an empty line", |screen| screen.trim_end().ends_with("\n>"));
    job.terminal.press(key::CTRL_D);
    job.ended();
}

#[test]
fn ctrl_z_in_the_editor_stops_the_program_with_it() {
    let home = Home::new();
    let editor = home.path("edit.sh");
    fs::write(&editor, "echo editing\nread -r _\nprintf edited > \"$1\"\n").unwrap();
    let job = Job::start(home, &["-n", "3"], &[("EDITOR", &format!("exec sh {}", editor.display()))]);
    job.terminal.wait_for_text("is ready");
    job.terminal.press("a draft");
    job.terminal.wait_for_text("> a draft");
    job.terminal.press("\x07");
    job.terminal.wait_for_text("editing");
    job.terminal.press(key::CTRL_Z);
    job.go_on(1);
    // Whoever reads it is the editor: the program has no line.
    job.terminal.press(key::ENTER);
    job.terminal.wait_for_text("> edited");
    job.terminal.press(key::CTRL_C);
    job.terminal.wait_for_text("> Ask something");
    job.terminal.press(key::CTRL_D);
    job.ended();
}
