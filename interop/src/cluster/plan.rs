//! What a campaign is asked for, and the faults and the load that this comes to.

use super::fault::Fault;
use super::load::Shape;
use super::nodes::Apart;
use crate::image::FileSystem;
use std::str::FromStr;

const QUICK_CYCLES: u32 = 3;
/// Idempotent producers, a group, a reader.
const PLAIN: Shape = Shape {
    producers: 2,
    consumers: 2,
    followers: 1,
    partitions: 4,
    rate: 300,
    ..Shape::NOBODY
};
/// Transactional producers and a copy loop beside them.
const TRANSACTIONS: Shape = Shape {
    transactors: 2,
    copiers: 2,
    rate: 150,
    ..PLAIN
};
/// Kafka's own clients beside all of that.
const VERIFIABLE: Shape = Shape {
    verifiable: true,
    ..TRANSACTIONS
};
/// Idempotent producers for a share group.
const SHARES: Shape = Shape {
    producers: 2,
    consumers: 4,
    partitions: 2,
    rate: 150,
    ..Shape::NOBODY
};
/// Publishers to queues.
pub(crate) const QUEUES: Shape = Shape {
    producers: 2,
    rate: 150,
    ..Shape::NOBODY
};
/// Values under which a full disk is felt within seconds: write-ahead files are made in advance.
const HEAVY_VALUE_BYTES: u32 = 16_000;
const HEAVY_RATE: u32 = 500;
/// Values under which files of every kind are there within a minute.
const FLIPPED_VALUE_BYTES: u32 = 3_000;
/// The same of messages, of which clients of queues send fewer.
const HEAVY_MESSAGE_BYTES: u32 = 50_000;
/// Pairs that nobody asked for by name get one cycle for so many of a single fault.
const CYCLES_PER_PAIR_CYCLE: u32 = 4;

/// Cycles of heavy values after which its data would fill the disks without any fault.
const MAX_HEAVY_CYCLES: u32 = 10;

/// Who works while faults come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Clients {
    /// Idempotent producers and a group.
    Plain,
    /// Transactional producers and copy loops as well; clients are killed, too.
    Transactions,
    /// Kafka's verifiable clients and transactional copier as well.
    Verifiable,
    /// Publishers to queues and their consumers, by AMQP; clients are killed, too.
    Queues,
    /// Idempotent producers and members of a share group, which are killed, too.
    Shares,
}

impl Clients {
    /// Whose door they come through.
    pub(super) fn door(self) -> &'static str {
        match self {
            Self::Plain | Self::Transactions | Self::Verifiable | Self::Shares => "kafka",
            Self::Queues => "amqp",
        }
    }
}

/// What `weir-interop cluster` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Faults, each alone, or two at a time as `kill+partition`. Default: all, and some pairs.
    #[arg(long = "fault", value_delimiter = ',')]
    pub(crate) faults: Vec<Faults>,
    /// Cycles of each fault; of pairs that are not named a quarter.
    #[arg(long, default_value_t = 100)]
    pub(crate) cycles: u32,
    /// Three cycles of each fault alone.
    #[arg(long)]
    pub(crate) quick: bool,
    /// File system of the nodes.
    #[arg(long = "fs", value_enum, default_value_t = FileSystem::Ext4)]
    pub(crate) file_system: FileSystem,
    /// Decides who is hit when.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Nodes.
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Who works meanwhile.
    #[arg(long, value_enum, default_value_t = Clients::Transactions)]
    pub(crate) clients: Clients,
    /// Keep histories of clean runs too.
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Options {
    /// What is struck, and how often, in parts that a cluster's disks have room for.
    pub(super) fn parts(&self) -> Vec<(Faults, u32)> {
        let parts = |(faults, cycles): (Faults, u32)| {
            let most = faults.most_cycles();
            let starts = (0..cycles).step_by(most as usize);
            starts.map(move |start| (faults.clone(), most.min(cycles - start)))
        };
        self.plan().into_iter().flat_map(parts).collect()
    }

    /// What is struck, and how often.
    fn plan(&self) -> Vec<(Faults, u32)> {
        let cycles = if self.quick {
            QUICK_CYCLES
        } else {
            self.cycles
        };
        let each = |faults: Vec<Faults>, cycles| faults.into_iter().map(move |it| (it, cycles));
        if !self.faults.is_empty() {
            return each(self.faults.clone(), cycles).collect();
        }
        let pairs = if self.quick {
            Vec::new()
        } else {
            Faults::pairs()
        };
        each(Faults::all_alone(), cycles)
            .chain(each(pairs, cycles.div_ceil(CYCLES_PER_PAIR_CYCLE)))
            .collect()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            faults: Vec::new(),
            cycles: 100,
            quick: false,
            file_system: FileSystem::Ext4,
            seed: 1,
            nodes: 3,
            clients: Clients::Transactions,
            keep: false,
        }
    }
}

/// One fault, or two at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults(pub(super) Vec<Fault>);

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let faults: Vec<_> = text
            .split('+')
            .map(|name| clap::ValueEnum::from_str(name, true))
            .collect::<Result<_, String>>()?;
        match faults.len() {
            1 | 2 => Ok(Self(faults)),
            _ => Err("one fault, or two".to_owned()),
        }
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let name = clap::ValueEnum::to_possible_value(fault);
            let name = name.as_ref().map_or("", |name| name.get_name());
            let sign = if index == 0 { "" } else { "+" };
            write!(f, "{sign}{name}")?;
        }
        Ok(())
    }
}

impl Faults {
    fn all_alone() -> Vec<Self> {
        let all = <Fault as clap::ValueEnum>::value_variants();
        all.iter().map(|fault| Self(vec![*fault])).collect()
    }

    /// Pairs whose two sides touch different things.
    fn pairs() -> Vec<Self> {
        [
            [Fault::KillLeader, Fault::Partition],
            [Fault::Pause, Fault::KillLeader],
            [Fault::CutOne, Fault::Partition],
            [Fault::SlowDisk, Fault::KillLeader],
            [Fault::DiskError, Fault::OneWay],
        ]
        .map(|pair| Self(pair.to_vec()))
        .to_vec()
    }

    /// What each node has to have for itself.
    pub(super) fn needs(&self) -> Apart {
        let needs = self.0.iter().map(|fault| fault.needs());
        needs.fold(Apart::default(), |all, one| Apart {
            clock: all.clock || one.clock,
            memory: all.memory || one.memory,
        })
    }

    /// Why they cannot be struck here, if so.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        self.0.iter().find_map(|fault| fault.obstacle())
    }

    /// Whether clocks show other times than clients go by.
    pub(super) fn set_clocks_off(&self) -> bool {
        self.0.contains(&Fault::ClockJump)
    }

    fn want_much(&self) -> bool {
        self.0.iter().any(|fault| fault.wants_much())
    }

    /// Cycles that one cluster stands.
    fn most_cycles(&self) -> u32 {
        match self.want_much() {
            true => MAX_HEAVY_CYCLES,
            false => u32::MAX,
        }
    }

    /// Who is to work, where that is a matter of topics.
    pub(super) fn shape(&self, clients: Clients) -> Shape {
        let shape = match clients {
            Clients::Plain => PLAIN,
            Clients::Transactions => TRANSACTIONS,
            Clients::Verifiable => VERIFIABLE,
            Clients::Queues => QUEUES,
            Clients::Shares => SHARES,
        };
        match (self.want_much(), clients) {
            (false, _) if self.0.contains(&Fault::BitFlip) => Shape {
                value_bytes: FLIPPED_VALUE_BYTES,
                ..shape
            },
            (false, _) => shape,
            (true, Clients::Queues) => Shape {
                value_bytes: HEAVY_MESSAGE_BYTES,
                ..shape
            },
            (
                true,
                Clients::Plain | Clients::Transactions | Clients::Verifiable | Clients::Shares,
            ) => Shape {
                rate: HEAVY_RATE,
                value_bytes: HEAVY_VALUE_BYTES,
                ..shape
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_less_often_where_none_is_named_and_not_at_all_in_a_quick_run() {
        let full = Options::default().plan();
        let most = |count| {
            full.iter()
                .filter(move |(faults, _)| faults.0.len() == count)
        };
        assert!(most(1).all(|(_, cycles)| *cycles == 100));
        assert!(most(2).count() > 0 && most(2).all(|(_, cycles)| *cycles == 25));
        let quick = Options {
            quick: true,
            ..Options::default()
        };
        assert!(
            quick
                .plan()
                .iter()
                .all(|(faults, cycles)| { faults.0.len() == 1 && *cycles == QUICK_CYCLES })
        );
        let named = Options {
            faults: Faults::pairs(),
            ..Options::default()
        };
        assert!(named.plan().iter().all(|(_, cycles)| *cycles == 100));
    }

    #[test]
    fn what_fills_disks_comes_in_parts() {
        let options = Options {
            faults: vec![Faults(vec![Fault::DiskFull]), Faults(vec![Fault::Kill])],
            cycles: 60,
            ..Options::default()
        };
        let cycles: Vec<_> = options.parts().iter().map(|(_, cycles)| *cycles).collect();
        assert_eq!(cycles, [10, 10, 10, 10, 10, 10, 60]);
    }

    #[test]
    fn faults_are_named_as_they_are_printed() {
        for faults in [Faults::all_alone(), Faults::pairs()].concat() {
            assert_eq!(faults.to_string().parse(), Ok(faults));
        }
        assert!("kill+kill+kill".parse::<Faults>().is_err());
        assert!("nothing".parse::<Faults>().is_err());
    }
}
