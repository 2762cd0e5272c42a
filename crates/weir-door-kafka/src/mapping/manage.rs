//! From the node's outcome to the answer to an administrator.

use weir_broker::api::{Outcome, admin::Managed};

use super::{
    cluster, configs, elections, kraft,
    plan::{Answer, Client, ManagePlan, MapError},
    topic_admin, topic_partitions,
};
use crate::codec::header::Head;

/// Turns the node's outcome into the answer.
pub fn answer(
    head: &Head,
    plan: ManagePlan,
    outcome: Outcome,
    client: &Client,
) -> Result<Answer, MapError> {
    let mismatch = MapError::Mismatch(head.api);
    macro_rules! expect {
        ($kind:pat => $outcome:ident) => {{
            let $kind = outcome else {
                return Err(mismatch);
            };
            $outcome
        }};
    }
    macro_rules! managed {
        ($kind:ident) => {
            expect!(Outcome::Managed(Managed::$kind(told)) => told)
        };
    }
    match plan {
        ManagePlan::DescribeCluster {
            with_operations,
            with_fenced,
        } => {
            let told = expect!(Outcome::Metadata(told) => told);
            cluster::answer_describe(head, with_operations, with_fenced, told, client)
        }
        ManagePlan::TopicPartitions {
            max_count,
            cursor,
            refused,
        } => {
            let told = expect!(Outcome::Metadata(told) => told);
            topic_partitions::answer(head, max_count, cursor.as_ref(), refused, told, client)
        }
        ManagePlan::DeleteTopics(asked) => {
            topic_admin::answer_delete(head, asked, managed!(DeletedTopics))
        }
        ManagePlan::DeleteRecords(grouped) => {
            topic_admin::answer_delete_records(head, grouped, managed!(DeletedRecords))
        }
        ManagePlan::CreatePartitions(names) => {
            topic_admin::answer_create_partitions(head, names, managed!(Checked))
        }
        ManagePlan::DescribeConfigs {
            resources,
            with_synonyms,
            with_docs,
        } => configs::answer_describe(head, resources, with_synonyms, with_docs, managed!(Configs)),
        ManagePlan::AlterConfigs(resources) => {
            configs::answer_alter(head, resources, managed!(Checked))
        }
        ManagePlan::ListConfigResources(types) => {
            configs::answer_list(head, &types, managed!(ConfigResources))
        }
        ManagePlan::DescribeQuorum => cluster::answer_quorum(head, managed!(Quorum)),
        ManagePlan::DescribeLogDirs => cluster::answer_log_dirs(head, managed!(LogDirs)),
        ManagePlan::AlterLogDirs(asked) => {
            kraft::answer_alter_log_dirs(head, asked, &managed!(LogDirs))
        }
        ManagePlan::UnregisterBroker => kraft::answer_unregister(head, managed!(Checked)),
        ManagePlan::ElectLeaders => elections::answer_elect(head, managed!(Elected)),
        ManagePlan::ListMoving => elections::answer_list(head, managed!(Moving)),
        ManagePlan::Reassign(asked) => elections::answer_reassign(head, asked, managed!(Checked)),
    }
}
