//! The processes of the demonstration: this program as balancer and nodes, asked through their consoles.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::Failure;

/// A process that is not ready, or does not answer, by then never will be.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How long a process may take to leave when its console ends; then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How often the nodes are asked whether the cluster is complete.
const POLL: Duration = Duration::from_millis(10);

/// The balancer and the nodes; they are killed when this is dropped.
pub(super) struct Cluster {
    balancer: Child,
    pub(super) nodes: Vec<Child>,
    entry: SocketAddr,
    logs: PathBuf,
}

impl Cluster {
    /// Starts all processes at once and waits until each says that it is ready.
    pub(super) async fn start(nodes: usize) -> Result<Self, Failure> {
        let addresses = free_addresses(2 * (nodes + 1))?;
        let (sip, cluster) = addresses.split_at(nodes + 1);
        let logs = std::env::temp_dir().join(format!("holdline-demo-{}", std::process::id()));
        std::fs::create_dir_all(&logs)?;
        let seeds = || cluster[1..].iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]);
        let flags = |at: usize| {
            let pairs = [("--sip", sip[at]), ("--cluster", cluster[at])];
            pairs
                .into_iter()
                .flat_map(|(flag, address)| [flag.to_owned(), address.to_string()])
                .chain(seeds())
        };
        let balancer = Child::spawn("balancer", "lb", flags(0), &logs)?;
        let advertise = ["--advertise".to_owned(), sip[0].to_string()];
        let spawned = (1..=nodes)
            .map(|at| Child::spawn("node", &format!("n{at}"), flags(at).chain(advertise.clone()), &logs))
            .collect::<Result<Vec<_>, _>>()?;
        let mut started = Self { balancer, nodes: spawned, entry: sip[0], logs };
        for child in std::iter::once(&mut started.balancer).chain(&mut started.nodes) {
            child.ready().await?;
        }
        Ok(started)
    }

    /// The address to call.
    pub(super) fn entry(&self) -> String {
        self.entry.to_string()
    }

    /// Waits until everybody sees everybody and every shard has its owner.
    pub(super) async fn formed(&mut self) -> Result<(), Failure> {
        let members = self.nodes.len() + 1;
        loop {
            let (mut owned, mut complete) = (0, self.balancer.stats().await?.get("members") == members);
            for node in &mut self.nodes {
                let stats = node.stats().await?;
                owned += stats.get("owned");
                complete &= stats.get("members") == members;
            }
            if complete && owned == usize::from(holdline_cluster::id::SHARDS) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills a node with SIGKILL; gives its name.
    pub(super) async fn kill(&mut self, at: usize) -> Result<String, Failure> {
        let mut node = self.nodes.remove(at);
        node.process.start_kill()?;
        Ok(node.name.clone())
    }

    /// Ends all processes: the end of its console tells each to leave. The logs are kept if asked for.
    pub(super) async fn stop(mut self, keep_logs: bool) {
        for mut child in std::iter::once(self.balancer).chain(self.nodes.drain(..)) {
            drop(child.commands);
            let _ = tokio::time::timeout(STOP_LIMIT, child.process.wait()).await;
        }
        if keep_logs {
            eprintln!("the logs of the processes are in {}", self.logs.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.logs);
        }
    }
}

/// One process and its console.
pub(super) struct Child {
    pub(super) name: String,
    process: tokio::process::Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Child {
    fn spawn(
        role: &str,
        name: &str,
        flags: impl Iterator<Item = String>,
        logs: &std::path::Path,
    ) -> Result<Self, Failure> {
        let log = logs.join(format!("{name}.log"));
        let mut process = Command::new(std::env::current_exe()?)
            .args([role, "--console", "--name", name])
            .args(flags)
            // Settings of this process's environment are meant for others.
            .env_clear()
            .envs(std::env::vars().filter(|(variable, _)| !variable.starts_with("HOLDLINE_")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(commands), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a process was started without its pipes".into());
        };
        Ok(Self { name: name.to_owned(), process, commands, answers: BufReader::new(answers).lines(), log })
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        let line = self.answer().await?;
        match line.starts_with("ready ") {
            true => Ok(()),
            false => Err(format!("{} said {line:?} instead of being ready", self.name).into()),
        }
    }

    /// Asks one command.
    pub(super) async fn ask(&mut self, command: &str) -> Result<String, Failure> {
        self.commands.write_all(format!("{command}\n").as_bytes()).await?;
        self.answer().await
    }

    /// Asks many commands without waiting for each answer; the answers have their order.
    pub(super) async fn ask_all(&mut self, commands: &[String]) -> Result<Vec<String>, Failure> {
        let text: String = commands.iter().flat_map(|command| [command.as_str(), "\n"]).collect();
        let (pipe, answers) = (&mut self.commands, &mut self.answers);
        let write = async { Ok::<_, Failure>(pipe.write_all(text.as_bytes()).await?) };
        let read = async {
            let mut lines = Vec::with_capacity(commands.len());
            while lines.len() < commands.len() {
                lines.push(next_line(answers).await?);
            }
            Ok(lines)
        };
        let asked: Result<_, Failure> = tokio::try_join!(write, read);
        asked.map(|((), lines)| lines).map_err(|error| self.explain(&error))
    }

    pub(super) async fn stats(&mut self) -> Result<Stats, Failure> {
        self.ask("stats").await.map(Stats)
    }

    async fn answer(&mut self) -> Result<String, Failure> {
        next_line(&mut self.answers).await.map_err(|error| self.explain(&error))
    }

    /// A process that ends has said why in its log.
    fn explain(&self, error: &Failure) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it logged nothing");
        format!("{}: {error}; the last line of {}: {last}", self.name, self.log.display()).into()
    }
}

/// The answer to `stats`.
pub(super) struct Stats(String);

impl Stats {
    /// One number; 0 if it is not there.
    pub(super) fn get(&self, name: &str) -> usize {
        field(&self.0, name).and_then(|number| number.parse().ok()).unwrap_or_default()
    }
}

/// The value of `name=value` in a line.
pub(super) fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

async fn next_line(answers: &mut Lines<BufReader<ChildStdout>>) -> Result<String, Failure> {
    match tokio::time::timeout(ANSWER_LIMIT, answers.next_line()).await {
        Ok(Ok(Some(line))) => Ok(line),
        Ok(Ok(None)) => Err("the process ended".into()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(format!("no answer in {} s", ANSWER_LIMIT.as_secs()).into()),
    }
}

/// Loopback addresses whose ports nobody uses, over UDP or TCP; all are held until all are found.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let mut held = Vec::with_capacity(count);
    let mut addresses = Vec::with_capacity(count);
    while addresses.len() < count {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = udp.local_addr()?;
        if let Ok(tcp) = TcpListener::bind(address) {
            addresses.push(address);
            held.push((udp, tcp));
        }
    }
    Ok(addresses)
}
