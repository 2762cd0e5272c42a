//! WeirMQ: one broker for every client.

mod admin;
mod allocator;
mod certificates;
mod client;
mod cluster_tls;
mod command;
mod data_dir;
mod doors;
mod ending;
mod exit_code;
mod exposure;
mod host_port;
mod key_url;
mod logging;
mod membership;
mod moment;
mod settings;
mod token_keys;
mod wiring;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{
    acl, binding, cluster, config, consume, exchange, group, policy, produce, queue, quickstart,
    quota, serve, token, topic, user, vhost,
};

/// A message broker that unmodified Kafka clients connect to.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node.
    Serve(serve::ServeArguments),
    /// Run one node or several, send some messages, read them back, and go on serving.
    Quickstart(quickstart::QuickstartArguments),
    /// Make, look at, change and delete topics.
    Topic(topic::TopicArguments),
    /// Look at consumer groups, move and delete their offsets.
    Group(group::GroupArguments),
    /// Look at queues and their messages, make, empty and delete queues.
    Queue(queue::QueueArguments),
    /// Look at exchanges, make and delete them.
    Exchange(exchange::ExchangeArguments),
    /// Look at bindings, make and delete them.
    Binding(binding::BindingArguments),
    /// Look at virtual hosts, make and delete them.
    Vhost(vhost::VhostArguments),
    /// Look at policies of queues and exchanges, set and delete them.
    Policy(policy::PolicyArguments),
    /// Look at users and their permissions in virtual hosts, add, change and delete them.
    User(user::UserArguments),
    /// Look at Kafka's ACLs, add and delete them.
    Acl(acl::AclArguments),
    /// Look at quotas of users and clients, set and delete them.
    Quota(quota::QuotaArguments),
    /// Look at tokens, and whether a node believes them.
    Token(token::TokenArguments),
    /// Send lines from standard input as messages.
    Produce(produce::ProduceArguments),
    /// Print messages.
    Consume(consume::ConsumeArguments),
    /// Print the settings that a node would run with, and where each comes from.
    Config(config::ConfigArguments),
    /// Look at a cluster, and change it.
    Cluster(cluster::ClusterArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Buffers of some megabytes come and go all the time; a huge page is cleared as a whole for
    // the part of it that one of them uses. Refused only by kernels without such pages.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let result = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments, serve::announce_ready),
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Cluster(arguments) => {
            logging::of_tool();
            cluster::run(&arguments)
        }
        Command::Topic(arguments) => topic::run(&arguments),
        Command::Group(arguments) => group::run(&arguments),
        Command::Queue(arguments) => queue::run(&arguments),
        Command::Exchange(arguments) => exchange::run(&arguments),
        Command::Binding(arguments) => binding::run(&arguments),
        Command::Vhost(arguments) => vhost::run(&arguments),
        Command::Policy(arguments) => policy::run(&arguments),
        Command::User(arguments) => user::run(&arguments),
        Command::Acl(arguments) => acl::run(&arguments),
        Command::Quota(arguments) => quota::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            exit_code::of(&error)
        }
    }
}
