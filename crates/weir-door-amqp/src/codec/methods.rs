// Long: the one table of all methods.
//! All methods, as one table: `u16` class, `u16` method, then the fields in order. Bits that
//! follow each other share an octet. Source: `amqp0-9-1.xml` and RabbitMQ's extensions, which are
//! `connection.blocked`, `connection.unblocked`, `connection.update-secret`, `exchange.bind`,
//! `exchange.unbind`, `basic.nack` and the class `confirm`.

use bytes::{Bytes, BytesMut};

use weir_model::fields::{DecodeError, Fault, FieldTable, Reader, ShortString, Writer};

/// The only class whose methods carry content.
pub(crate) const BASIC: u16 = 60;

/// A class and a method of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId {
    /// The class's number.
    pub class: u16,
    /// The method's number within its class.
    pub method: u16,
}

macro_rules! field_type {
    (octet) => {
        u8
    };
    (short) => {
        u16
    };
    (long) => {
        u32
    };
    (longlong) => {
        u64
    };
    (bit) => {
        bool
    };
    (shortstr) => {
        ShortString
    };
    (longstr) => {
        Bytes
    };
    (table) => {
        FieldTable
    };
}

macro_rules! write_field {
    ($writer:ident, shortstr, $value:expr) => {
        $writer.shortstr($value)
    };
    ($writer:ident, longstr, $value:expr) => {
        $writer.longstr($value)
    };
    ($writer:ident, table, $value:expr) => {
        $writer.table($value)
    };
    ($writer:ident, $kind:ident, $value:expr) => {
        $writer.$kind(*$value)
    };
}

macro_rules! methods {
    ($(
        $(#[$doc:meta])*
        $name:ident $class:literal $method:literal $text:literal {
            $( $(#[$field_doc:meta])* $field:ident: $kind:ident, )*
        }
    )*) => {
        /// The methods' own types.
        pub mod method {
            use super::*;
            $(
                $(#[$doc])*
                #[derive(Clone, Debug, Default, PartialEq, Eq)]
                pub struct $name {
                    $( $(#[$field_doc])* pub $field: field_type!($kind), )*
                }

                impl From<$name> for Method {
                    fn from(method: $name) -> Self {
                        Self::$name(method)
                    }
                }
            )*
        }

        /// One method with its arguments.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Method {
            $( $(#[$doc])* $name(method::$name), )*
        }

        impl Method {
            /// Its numbers.
            pub fn id(&self) -> MethodId {
                match self {
                    $( Self::$name(_) => MethodId { class: $class, method: $method }, )*
                }
            }

            /// Its name in the specification, such as `queue.declare-ok`.
            pub fn name(&self) -> &'static str {
                match self {
                    $( Self::$name(_) => $text, )*
                }
            }

            fn read_fields(id: MethodId, reader: &mut Reader) -> Result<Self, DecodeError> {
                match (id.class, id.method) {
                    $( ($class, $method) => Ok(Self::$name(method::$name {
                        $( $field: reader.$kind(stringify!($field))?, )*
                    })), )*
                    (class, method) => Err(DecodeError {
                        at: 0,
                        field: "method-id",
                        fault: Fault::UnknownMethod { class, method },
                    }),
                }
            }

            fn write_fields(&self, writer: &mut Writer<'_>) {
                match self {
                    $( Self::$name(method) => {
                        $( write_field!(writer, $kind, &method.$field); )*
                        // A method without fields reads nothing of its own.
                        let _ = method;
                    } )*
                }
            }

            /// Each method once, with default arguments.
            #[cfg(test)]
            fn all() -> Vec<Self> {
                vec![ $( Self::$name(method::$name::default()), )* ]
            }
        }
    };
}

methods! {
    /// The server greets.
    ConnectionStart 10 10 "connection.start" {
        /// 0
        version_major: octet,
        /// 9
        version_minor: octet,
        /// What the server is and can do.
        server_properties: table,
        /// SASL mechanisms, separated by spaces.
        mechanisms: longstr,
        /// Languages, separated by spaces.
        locales: longstr,
    }
    /// The client says who it is.
    ConnectionStartOk 10 11 "connection.start-ok" {
        /// What the client is and can do.
        client_properties: table,
        /// The SASL mechanism that it chose.
        mechanism: shortstr,
        /// What that mechanism says first.
        response: longstr,
        /// The language that it chose.
        locale: shortstr,
    }
    /// The mechanism asks back.
    ConnectionSecure 10 20 "connection.secure" {
        /// What the mechanism says.
        challenge: longstr,
    }
    /// The client's answer to that.
    ConnectionSecureOk 10 21 "connection.secure-ok" {
        /// What the mechanism says.
        response: longstr,
    }
    /// The server proposes limits.
    ConnectionTune 10 30 "connection.tune" {
        /// Highest number of a channel; 0: no limit.
        channel_max: short,
        /// Longest frame in bytes; 0: no limit.
        frame_max: long,
        /// Heartbeat time-out in s; 0: none.
        heartbeat: short,
    }
    /// The client settles them.
    ConnectionTuneOk 10 31 "connection.tune-ok" {
        /// Highest number of a channel; 0: no limit.
        channel_max: short,
        /// Longest frame in bytes; 0: no limit.
        frame_max: long,
        /// Heartbeat time-out in s; 0: none.
        heartbeat: short,
    }
    /// The client enters a virtual host.
    ConnectionOpen 10 40 "connection.open" {
        /// Its name.
        virtual_host: shortstr,
        /// Of no meaning any more.
        reserved_1: shortstr,
        /// Of no meaning any more.
        reserved_2: bit,
    }
    /// It is in.
    ConnectionOpenOk 10 41 "connection.open-ok" {
        /// Of no meaning any more.
        reserved_1: shortstr,
    }
    /// One side ends the connection.
    ConnectionClose 10 50 "connection.close" {
        /// Why, as a number.
        reply_code: short,
        /// Why, as text.
        reply_text: shortstr,
        /// The class of the method that was to blame, or 0.
        class_id: short,
        /// That method, or 0.
        method_id: short,
    }
    /// The other side agrees.
    ConnectionCloseOk 10 51 "connection.close-ok" {}
    /// The server takes no messages for now.
    ConnectionBlocked 10 60 "connection.blocked" {
        /// Why.
        reason: shortstr,
    }
    /// It takes them again.
    ConnectionUnblocked 10 61 "connection.unblocked" {}
    /// The client renews its secret.
    ConnectionUpdateSecret 10 70 "connection.update-secret" {
        /// The new one.
        new_secret: longstr,
        /// Why.
        reason: shortstr,
    }
    /// It counts from now on.
    ConnectionUpdateSecretOk 10 71 "connection.update-secret-ok" {}
    /// A channel begins.
    ChannelOpen 20 10 "channel.open" {
        /// Of no meaning any more.
        reserved_1: shortstr,
    }
    /// It has begun.
    ChannelOpenOk 20 11 "channel.open-ok" {
        /// Of no meaning any more.
        reserved_1: longstr,
    }
    /// One side asks the other to pause or to go on.
    ChannelFlow 20 20 "channel.flow" {
        /// Whether to go on.
        active: bit,
    }
    /// It does so.
    ChannelFlowOk 20 21 "channel.flow-ok" {
        /// Whether it goes on.
        active: bit,
    }
    /// One side ends the channel.
    ChannelClose 20 40 "channel.close" {
        /// Why, as a number.
        reply_code: short,
        /// Why, as text.
        reply_text: shortstr,
        /// The class of the method that was to blame, or 0.
        class_id: short,
        /// That method, or 0.
        method_id: short,
    }
    /// The other side agrees.
    ChannelCloseOk 20 41 "channel.close-ok" {}
    /// Asks for a ticket, as clients of AMQP 0-8 do.
    AccessRequest 30 10 "access.request" {
        /// For what.
        realm: shortstr,
        /// Alone.
        exclusive: bit,
        /// To look only.
        passive: bit,
        /// To declare and delete.
        active: bit,
        /// To publish.
        write: bit,
        /// To consume.
        read: bit,
    }
    /// The ticket, which means nothing.
    AccessRequestOk 30 11 "access.request-ok" {
        /// 1
        ticket: short,
    }
    /// Makes an exchange, or looks whether it is there.
    ExchangeDeclare 40 10 "exchange.declare" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// Its name.
        exchange: shortstr,
        /// Its type.
        kind: shortstr,
        /// Whether only to look.
        passive: bit,
        /// Whether it outlives a restart.
        durable: bit,
        /// Whether it goes with its last binding.
        auto_delete: bit,
        /// Whether clients may not publish to it.
        internal: bit,
        /// Whether no answer is wanted.
        no_wait: bit,
        /// More arguments.
        arguments: table,
    }
    /// It is there.
    ExchangeDeclareOk 40 11 "exchange.declare-ok" {}
    /// Deletes an exchange.
    ExchangeDelete 40 20 "exchange.delete" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// Its name.
        exchange: shortstr,
        /// Only without bindings.
        if_unused: bit,
        /// Whether no answer is wanted.
        no_wait: bit,
    }
    /// It is gone.
    ExchangeDeleteOk 40 21 "exchange.delete-ok" {}
    /// Binds an exchange to another one.
    ExchangeBind 40 30 "exchange.bind" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// Where messages go.
        destination: shortstr,
        /// Where they come from.
        source: shortstr,
        /// Which ones.
        routing_key: shortstr,
        /// Whether no answer is wanted.
        no_wait: bit,
        /// More arguments.
        arguments: table,
    }
    /// It is bound.
    ExchangeBindOk 40 31 "exchange.bind-ok" {}
    /// Takes such a binding away.
    ExchangeUnbind 40 40 "exchange.unbind" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// Where messages went.
        destination: shortstr,
        /// Where they came from.
        source: shortstr,
        /// Which ones.
        routing_key: shortstr,
        /// Whether no answer is wanted.
        no_wait: bit,
        /// More arguments.
        arguments: table,
    }
    /// It is gone.
    ExchangeUnbindOk 40 51 "exchange.unbind-ok" {}
    /// Makes a queue, or looks whether it is there.
    QueueDeclare 50 10 "queue.declare" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// Its name; empty: the server gives one.
        queue: shortstr,
        /// Whether only to look.
        passive: bit,
        /// Whether it outlives a restart.
        durable: bit,
        /// Whether it is this connection's alone.
        exclusive: bit,
        /// Whether it goes with its last consumer.
        auto_delete: bit,
        /// Whether no answer is wanted.
        no_wait: bit,
        /// More arguments.
        arguments: table,
    }
    /// It is there.
    QueueDeclareOk 50 11 "queue.declare-ok" {
        /// Its name.
        queue: shortstr,
        /// Messages that are ready.
        message_count: long,
        /// Its consumers.
        consumer_count: long,
    }
    /// Binds a queue to an exchange.
    QueueBind 50 20 "queue.bind" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// The queue.
        queue: shortstr,
        /// The exchange.
        exchange: shortstr,
        /// Which messages.
        routing_key: shortstr,
        /// Whether no answer is wanted.
        no_wait: bit,
        /// More arguments.
        arguments: table,
    }
    /// It is bound.
    QueueBindOk 50 21 "queue.bind-ok" {}
    /// Takes a binding away.
    QueueUnbind 50 50 "queue.unbind" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// The queue.
        queue: shortstr,
        /// The exchange.
        exchange: shortstr,
        /// Which messages.
        routing_key: shortstr,
        /// More arguments.
        arguments: table,
    }
    /// It is gone.
    QueueUnbindOk 50 51 "queue.unbind-ok" {}
    /// Drops all messages that are ready.
    QueuePurge 50 30 "queue.purge" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// The queue.
        queue: shortstr,
        /// Whether no answer is wanted.
        no_wait: bit,
    }
    /// They are gone.
    QueuePurgeOk 50 31 "queue.purge-ok" {
        /// How many there were.
        message_count: long,
    }
    /// Deletes a queue.
    QueueDelete 50 40 "queue.delete" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// The queue.
        queue: shortstr,
        /// Only without consumers.
        if_unused: bit,
        /// Only without messages.
        if_empty: bit,
        /// Whether no answer is wanted.
        no_wait: bit,
    }
    /// It is gone.
    QueueDeleteOk 50 41 "queue.delete-ok" {
        /// Messages that were in it.
        message_count: long,
    }
    /// How much may be delivered ahead of acknowledgements.
    BasicQos 60 10 "basic.qos" {
        /// In bytes; 0: no limit.
        prefetch_size: long,
        /// In messages; 0: no limit.
        prefetch_count: short,
        /// For the whole channel, not for each consumer.
        global: bit,
    }
    /// It holds from now on.
    BasicQosOk 60 11 "basic.qos-ok" {}
    /// A consumer begins.
    BasicConsume 60 20 "basic.consume" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// The queue.
        queue: shortstr,
        /// Its name; empty: the server gives one.
        consumer_tag: shortstr,
        /// Not what this connection published; ignored, as in RabbitMQ.
        no_local: bit,
        /// Whether a delivery counts as acknowledged.
        no_ack: bit,
        /// Whether it wants to be the only one.
        exclusive: bit,
        /// Whether no answer is wanted.
        no_wait: bit,
        /// More arguments.
        arguments: table,
    }
    /// It has begun.
    BasicConsumeOk 60 21 "basic.consume-ok" {
        /// Its name.
        consumer_tag: shortstr,
    }
    /// A consumer ends; said by the server as well.
    BasicCancel 60 30 "basic.cancel" {
        /// Its name.
        consumer_tag: shortstr,
        /// Whether no answer is wanted.
        no_wait: bit,
    }
    /// It has ended.
    BasicCancelOk 60 31 "basic.cancel-ok" {
        /// Its name.
        consumer_tag: shortstr,
    }
    /// A message for an exchange; its content follows.
    BasicPublish 60 40 "basic.publish" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// The exchange.
        exchange: shortstr,
        /// What it routes by.
        routing_key: shortstr,
        /// Whether it comes back where no queue takes it.
        mandatory: bit,
        /// Refused, as in RabbitMQ.
        immediate: bit,
    }
    /// A message that no queue took; its content follows.
    BasicReturn 60 50 "basic.return" {
        /// Why, as a number.
        reply_code: short,
        /// Why, as text.
        reply_text: shortstr,
        /// The exchange.
        exchange: shortstr,
        /// What it was to be routed by.
        routing_key: shortstr,
    }
    /// A message for a consumer; its content follows.
    BasicDeliver 60 60 "basic.deliver" {
        /// The consumer.
        consumer_tag: shortstr,
        /// What acknowledges it, within the channel.
        delivery_tag: longlong,
        /// Whether it may have been delivered before.
        redelivered: bit,
        /// The exchange.
        exchange: shortstr,
        /// What it was routed by.
        routing_key: shortstr,
    }
    /// Asks for one message.
    BasicGet 60 70 "basic.get" {
        /// A ticket of `access.request`.
        reserved_1: short,
        /// The queue.
        queue: shortstr,
        /// Whether the delivery counts as acknowledged.
        no_ack: bit,
    }
    /// Here it is; its content follows.
    BasicGetOk 60 71 "basic.get-ok" {
        /// What acknowledges it, within the channel.
        delivery_tag: longlong,
        /// Whether it may have been delivered before.
        redelivered: bit,
        /// The exchange.
        exchange: shortstr,
        /// What it was routed by.
        routing_key: shortstr,
        /// Messages that are left.
        message_count: long,
    }
    /// There is none.
    BasicGetEmpty 60 72 "basic.get-empty" {
        /// Of no meaning any more.
        reserved_1: shortstr,
    }
    /// Messages were worked off; from the server: published ones are safe.
    BasicAck 60 80 "basic.ack" {
        /// The message.
        delivery_tag: longlong,
        /// And all before it.
        multiple: bit,
    }
    /// A message was not worked off.
    BasicReject 60 90 "basic.reject" {
        /// The message.
        delivery_tag: longlong,
        /// Whether to deliver it again.
        requeue: bit,
    }
    /// Asks for all unacknowledged messages again, without an answer.
    BasicRecoverAsync 60 100 "basic.recover-async" {
        /// Whether anybody may get them.
        requeue: bit,
    }
    /// Asks for all unacknowledged messages again.
    BasicRecover 60 110 "basic.recover" {
        /// Whether anybody may get them.
        requeue: bit,
    }
    /// They come.
    BasicRecoverOk 60 111 "basic.recover-ok" {}
    /// Messages were not worked off; from the server: published ones are lost.
    BasicNack 60 120 "basic.nack" {
        /// The message.
        delivery_tag: longlong,
        /// And all before it.
        multiple: bit,
        /// Whether to deliver them again.
        requeue: bit,
    }
    /// Published messages are to be confirmed.
    ConfirmSelect 85 10 "confirm.select" {
        /// Whether no answer is wanted.
        nowait: bit,
    }
    /// They will be.
    ConfirmSelectOk 85 11 "confirm.select-ok" {}
    /// Transactions begin.
    TxSelect 90 10 "tx.select" {}
    /// They have begun.
    TxSelectOk 90 11 "tx.select-ok" {}
    /// A transaction counts.
    TxCommit 90 20 "tx.commit" {}
    /// It does.
    TxCommitOk 90 21 "tx.commit-ok" {}
    /// A transaction is given up.
    TxRollback 90 30 "tx.rollback" {}
    /// It is.
    TxRollbackOk 90 31 "tx.rollback-ok" {}
}

impl Method {
    /// Reads the payload of a method frame.
    pub fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let class = reader.short("class-id")?;
        let method = reader.short("method-id")?;
        let method = Self::read_fields(MethodId { class, method }, &mut reader)?;
        reader.finish("arguments")?;
        Ok(method)
    }

    /// Appends the payload of a method frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let id = self.id();
        let mut writer = Writer::new(out);
        writer.short(id.class);
        writer.short(id.method);
        self.write_fields(&mut writer);
        writer.finish();
    }

    /// Whether a content header and a body follow.
    pub fn has_content(&self) -> bool {
        matches!(
            self,
            Self::BasicPublish(_)
                | Self::BasicReturn(_)
                | Self::BasicDeliver(_)
                | Self::BasicGetOk(_)
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use weir_model::fields::examples::of_all_types;

    fn short(text: &str) -> ShortString {
        ShortString::new(text).unwrap()
    }

    fn bytes_of(method: &Method) -> Bytes {
        let mut out = BytesMut::new();
        method.encode(&mut out);
        out.freeze()
    }

    /// Nine bits and more between other fields.
    fn declare() -> Method {
        Method::from(method::QueueDeclare {
            queue: short("q"),
            durable: true,
            no_wait: true,
            arguments: of_all_types(),
            ..Default::default()
        })
    }

    /// Every method, one of them with all that tables can hold.
    pub(crate) fn examples() -> Vec<Method> {
        let mut methods = Method::all();
        methods.push(declare());
        methods
    }

    #[test]
    fn every_method_comes_back_and_has_numbers_and_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for method in Method::all() {
            assert_eq!(Method::decode(bytes_of(&method)), Ok(method.clone()));
            names.insert(method.name());
            ids.insert(method.id());
        }
        assert_eq!((names.len(), ids.len()), (Method::all().len(), names.len()));
        assert_eq!(Method::decode(bytes_of(&declare())), Ok(declare()));
    }

    /// As pika 1.3.2 encodes `queue_declare("q", durable=True)` and `basic_publish` with
    /// `mandatory`; without frame headers.
    #[test]
    fn methods_have_the_bytes_that_a_client_sends() {
        let declared = method::QueueDeclare {
            queue: short("q"),
            durable: true,
            ..Default::default()
        };
        let wanted = b"\x00\x32\x00\x0a\x00\x00\x01q\x02\x00\x00\x00\x00";
        assert_eq!(bytes_of(&declared.into()), &wanted[..]);
        let published = method::BasicPublish {
            routing_key: short("q"),
            mandatory: true,
            ..Default::default()
        };
        let wanted = b"\x00\x3c\x00\x28\x00\x00\x00\x01q\x01";
        assert_eq!(bytes_of(&published.into()), &wanted[..]);
    }

    #[test]
    fn bits_share_an_octet_and_the_next_field_has_its_own() {
        let declare = method::ExchangeDeclare {
            passive: true,
            auto_delete: true,
            no_wait: true,
            ..Default::default()
        };
        let bytes = bytes_of(&declare.into());
        assert_eq!(bytes[8], 0b1_0101);
        let nack = method::BasicNack {
            delivery_tag: 1,
            requeue: true,
            ..Default::default()
        };
        assert_eq!(bytes_of(&nack.into())[12..], [0b10]);
    }

    #[test]
    fn a_method_that_is_cut_anywhere_or_goes_on_is_refused() {
        for method in examples() {
            let whole = bytes_of(&method);
            for length in 0..whole.len() {
                let cut = Method::decode(whole.slice(..length));
                assert!(cut.is_err(), "{} with {length} bytes", method.name());
            }
            let mut longer = BytesMut::from(&whole[..]);
            longer.extend_from_slice(b"\x00");
            let error = Method::decode(longer.freeze()).unwrap_err();
            assert_eq!(error.fault, Fault::Left(1), "{}", method.name());
        }
    }

    #[test]
    fn an_unknown_method_is_told_by_its_numbers() {
        let unknown = Bytes::from_static(b"\x00\x3c\x00\x09");
        let fault = Fault::UnknownMethod {
            class: 60,
            method: 9,
        };
        assert_eq!(Method::decode(unknown).unwrap_err().fault, fault);
    }

    #[test]
    fn content_follows_four_methods_of_the_class_basic() {
        let all = Method::all();
        let with_content: Vec<_> = all.iter().filter(|method| method.has_content()).collect();
        assert_eq!(with_content.len(), 4);
        assert!(with_content.iter().all(|method| method.id().class == BASIC));
    }
}
