//! A `weir` process on a directory and ports of its own.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::sleep,
    time::{Duration, Instant},
};

/// How long anything may take that a test waits for: far more than it needs on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A directory that goes when the test ends.
pub(crate) struct TestDir(PathBuf);

impl TestDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-it-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary without what the environment may say.
pub(crate) fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A node's command, listening on free ports.
pub(crate) fn command(verb: &str, data_dir: &Path) -> Command {
    command_on(verb, data_dir, "127.0.0.1:0", "127.0.0.1:0")
}

/// A node's command, listening on these addresses.
pub(crate) fn command_on(verb: &str, data_dir: &Path, kafka: &str, cluster: &str) -> Command {
    let mut command = weir();
    command.arg(verb).arg("--data-dir").arg(data_dir);
    command.args(["--kafka", kafka, "--cluster", cluster]);
    command.args(["--admin", "127.0.0.1:0", "--amqp", "127.0.0.1:0"]);
    command
}

/// Looks again and again; what it found at last is named if that is not enough.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < end, "{what}: still {seen}"),
        }
        sleep(LOOK_INTERVAL);
    }
}

/// Whether the process is there to hear it.
pub(crate) fn signal(name: &str, pid: &str) -> bool {
    let kill = Command::new("kill").args(["-s", name, pid]).status();
    kill.unwrap().success()
}

/// A process that is killed if the test ends early.
pub(crate) struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) fn start(verb: &str, data_dir: &Path) -> Self {
        Self::spawn(&mut command(verb, data_dir))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (tell, stdout) = channel();
        // The test may have ended: nobody reads then, and the pipe must not fill all the same.
        each_line(child.stdout.take().unwrap(), move |line| {
            let _ = tell.send(line);
        });
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&stderr);
        each_line(child.stderr.take().unwrap(), move |line| {
            said.lock().unwrap().push(line);
        });
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Reads lines up to the first that contains `text`; gives all of them.
    pub(crate) fn read_to(&mut self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains(text)) {
            match self.stdout.recv_timeout(LIMIT) {
                Ok(line) => seen.push(line),
                Err(_) => panic!("no `{text}` after {seen:#?}; stderr: {:#?}", self.stderr()),
            }
        }
        seen
    }

    /// The next line, if there is one already.
    pub(crate) fn try_line(&mut self) -> Option<String> {
        self.stdout.try_recv().ok()
    }

    /// What it said on stderr until now.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until a line on stderr contains `text`.
    pub(crate) fn wait_said(&self, text: &str) -> String {
        wait_for("a line on stderr", || {
            let said = self.stderr();
            let found = said.iter().find(|line| line.contains(text));
            found.cloned().ok_or_else(|| format!("{said:#?}"))
        })
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(name, &self.child.id().to_string()));
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the process's end", || {
            match self.child.try_wait().unwrap() {
                Some(status) => Ok(status),
                None => Err("running".to_owned()),
            }
        })
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.stderr());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Most have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn each_line(from: impl Read + Send + 'static, mut take: impl FnMut(String) + Send + 'static) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            take(line);
        }
    });
}
