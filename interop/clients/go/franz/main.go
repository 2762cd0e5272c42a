// The cases of interop/clients/CASES.md with franz-go, which speaks the newest version of everything.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"interop/report"
)

const limit = 40 * time.Second

func client(t *report.T, more ...kgo.Opt) (*kgo.Client, error) {
	base := []kgo.Opt{
		kgo.SeedBrokers(report.Bootstrap()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(200 * time.Millisecond),
	}
	made, err := kgo.NewClient(append(base, more...)...)
	if err == nil {
		t.Defer(made.Close)
	}
	return made, err
}

// stage is a topic and who administers it.
type stage struct {
	t     *report.T
	ctx   context.Context
	admin *kadm.Client
	topic string
}

func on(partitions int32, run func(*stage) error) func(*report.T) error {
	return func(t *report.T) error {
		ctx, cancel := context.WithTimeout(context.Background(), 80*time.Second)
		t.Defer(cancel)
		plain, err := client(t)
		if err != nil {
			return err
		}
		s := &stage{t: t, ctx: ctx, admin: kadm.NewClient(plain), topic: report.Name("franz")}
		if _, err := s.admin.CreateTopic(ctx, partitions, -1, nil, s.topic); err != nil {
			return err
		}
		return run(s)
	}
}

func (s *stage) send(values []string, more ...kgo.Opt) error {
	p, err := client(s.t, more...)
	if err != nil {
		return err
	}
	records := make([]*kgo.Record, len(values))
	for at, value := range values {
		records[at] = &kgo.Record{Topic: s.topic, Value: []byte(value)}
	}
	return p.ProduceSync(s.ctx, records...).FirstErr()
}

func poll(ctx context.Context, c *kgo.Client, count int) ([]*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var records []*kgo.Record
	for len(records) < count {
		fetches := c.PollFetches(ctx)
		records = append(records, fetches.Records()...)
		if err := fetches.Err(); err != nil && len(records) < count {
			return nil, fmt.Errorf("%d of %d records: %w", len(records), count, err)
		}
	}
	return records, nil
}

func (s *stage) read(count int, more ...kgo.Opt) ([]*kgo.Record, error) {
	c, err := client(s.t, append(more, kgo.ConsumeTopics(s.topic))...)
	if err != nil {
		return nil, err
	}
	return poll(s.ctx, c, count)
}

func (s *stage) readValues(expected []string, more ...kgo.Opt) error {
	records, err := s.read(len(expected), more...)
	if err != nil {
		return err
	}
	return report.Expect("values", values(records), expected)
}

func values(records []*kgo.Record) []string {
	var found []string
	for _, record := range records {
		found = append(found, string(record.Value))
	}
	return found
}

func numbers(count int) []string {
	found := make([]string, count)
	for at := range found {
		found[at] = fmt.Sprint(at, strings.Repeat(" text", 40))
	}
	return found
}

func createTopic(s *stage) error {
	_, err := s.admin.CreateTopic(s.ctx, 3, -1, nil, s.topic)
	return report.Refused(err, kerr.TopicAlreadyExists)
}

func deleteTopic(s *stage) error {
	if _, err := s.admin.DeleteTopic(s.ctx, s.topic); err != nil {
		return err
	}
	return report.Eventually("the topic's end", limit, func() bool {
		topics, err := s.admin.ListTopics(s.ctx)
		return err == nil && !topics.Has(s.topic)
	})
}

func createPartitions(s *stage) error {
	grown, err := s.admin.UpdatePartitions(s.ctx, 3, s.topic)
	if err = errors.Join(err, grown.Error()); err != nil {
		return err
	}
	shrunk, err := s.admin.UpdatePartitions(s.ctx, 2, s.topic)
	return errors.Join(err, report.Refused(shrunk.Error(), kerr.InvalidPartitions))
}

func codec(kind kgo.CompressionCodec) func(*stage) error {
	return func(s *stage) error {
		if err := s.send(numbers(300), kgo.ProducerBatchCompression(kind)); err != nil {
			return err
		}
		return s.readValues(numbers(300))
	}
}

func keysAndHeaders(s *stage) error {
	p, err := client(s.t)
	if err != nil {
		return err
	}
	at := time.UnixMilli(1_700_000_001_000)
	headers := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "none"}}
	first := &kgo.Record{Topic: s.topic, Key: []byte("k"), Value: []byte("v"), Headers: headers, Timestamp: at}
	second := &kgo.Record{Topic: s.topic, Key: []byte("tombstone"), Timestamp: at.Add(time.Second)}
	if err := p.ProduceSync(s.ctx, first, second).FirstErr(); err != nil {
		return err
	}
	found, err := s.read(2)
	if err != nil {
		return err
	}
	offsets, err := s.admin.ListOffsetsAfterMilli(s.ctx, at.UnixMilli()+1, s.topic)
	if err != nil {
		return err
	}
	after, _ := offsets.Lookup(s.topic, 0)
	return errors.Join(
		report.Expect("headers", found[0].Headers, headers),
		report.Expect("timestamp", found[0].Timestamp.UnixMilli(), at.UnixMilli()),
		report.Expect("tombstone", found[1].Value == nil, true),
		report.Expect("offset by time", after.Offset, 1),
	)
}

func watermarks(s *stage) error {
	if err := s.send(numbers(7)); err != nil {
		return err
	}
	start, err := s.admin.ListStartOffsets(s.ctx, s.topic)
	if err != nil {
		return err
	}
	end, err := s.admin.ListEndOffsets(s.ctx, s.topic)
	if err != nil {
		return err
	}
	first, _ := start.Lookup(s.topic, 0)
	last, _ := end.Lookup(s.topic, 0)
	return report.Expect("offsets", []int64{first.Offset, last.Offset}, []int64{0, 7})
}

func largeMessage(s *stage) error {
	allow := []kgo.Opt{kgo.ProducerBatchMaxBytes(3_000_000), kgo.ProducerBatchCompression(kgo.NoCompression())}
	if err := s.send([]string{strings.Repeat("x", 900_000)}, allow...); err != nil {
		return err
	}
	return report.Refused(s.send([]string{strings.Repeat("x", 1_500_000)}, allow...), kerr.MessageTooLarge)
}

func (s *stage) join(group string, more ...kgo.Opt) (*kgo.Client, error) {
	membership := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(s.topic),
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.DisableAutoCommit(),
	}
	return client(s.t, append(membership, more...)...)
}

func groupCommitResume(s *stage) error {
	group := report.Name("group")
	if err := s.send(numbers(10)); err != nil {
		return err
	}
	first, err := s.join(group)
	if err != nil {
		return err
	}
	records, err := poll(s.ctx, first, 10)
	if err != nil {
		return err
	}
	if err := first.CommitRecords(s.ctx, records[3]); err != nil {
		return err
	}
	first.Close()
	second, err := s.join(group)
	if err != nil {
		return err
	}
	rest, err := poll(s.ctx, second, 6)
	if err != nil {
		return err
	}
	return report.Expect("values", values(rest), numbers(10)[4:])
}

// turn lets a member take part in its group for a moment.
func turn(c *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	c.PollFetches(ctx)
}

func groupTwoMembers(more ...kgo.Opt) func(*stage) error {
	return func(s *stage) error {
		group := report.Name("group")
		assigned := func(n *int) []kgo.Opt {
			return append([]kgo.Opt{
				kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, given map[string][]int32) { *n += len(given[s.topic]) }),
				kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, taken map[string][]int32) { *n -= len(taken[s.topic]) }),
				kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, taken map[string][]int32) { *n -= len(taken[s.topic]) }),
			}, more...)
		}
		var one, other int
		first, err := s.join(group, assigned(&one)...)
		if err != nil {
			return err
		}
		all := func() bool { turn(first); return one == 4 }
		if err := report.Eventually("all partitions", limit, all); err != nil {
			return err
		}
		second, err := s.join(group, assigned(&other)...)
		if err != nil {
			return err
		}
		err = report.Eventually("two partitions each", limit, func() bool {
			turn(first)
			turn(second)
			return one == 2 && other == 2
		})
		if err != nil {
			return err
		}
		second.Close()
		return report.Eventually("all partitions again", limit, all)
	}
}

func groupAdmin(s *stage) error {
	group := report.Name("group")
	if err := s.send(numbers(3)); err != nil {
		return err
	}
	member, err := s.join(group)
	if err != nil {
		return err
	}
	records, err := poll(s.ctx, member, 3)
	if err != nil {
		return err
	}
	if err := member.CommitRecords(s.ctx, records...); err != nil {
		return err
	}
	described, err := s.admin.DescribeGroups(s.ctx, group)
	if err != nil {
		return err
	}
	lags, err := s.admin.Lag(s.ctx, group)
	if err != nil {
		return err
	}
	_, notEmpty := s.admin.DeleteGroup(s.ctx, group)
	err = errors.Join(
		report.Expect("state", described[group].State, "Stable"),
		report.Expect("members", len(described[group].Members), 1),
		report.Expect("lag", lags[group].Lag.Total(), 0),
		report.Refused(notEmpty, kerr.NonEmptyGroup),
	)
	if err != nil {
		return err
	}
	member.Close()
	return report.Eventually("deletion", limit, func() bool {
		_, err := s.admin.DeleteGroup(s.ctx, group)
		return err == nil
	})
}

func idempotentProducer(s *stage) error {
	// It is idempotent unless told otherwise.
	if err := s.send(numbers(500)); err != nil {
		return err
	}
	return s.readValues(numbers(500))
}

func transaction(s *stage) error {
	p, err := client(s.t, kgo.TransactionalID(report.Name("txn")))
	if err != nil {
		return err
	}
	for _, value := range []string{"a", "b", "c"} {
		if err := p.BeginTransaction(); err != nil {
			return err
		}
		record := &kgo.Record{Topic: s.topic, Value: []byte(value)}
		if err := p.ProduceSync(s.ctx, record).FirstErr(); err != nil {
			return err
		}
		if err := p.EndTransaction(s.ctx, kgo.TransactionEndTry(value != "b")); err != nil {
			return err
		}
	}
	committed := kgo.FetchIsolationLevel(kgo.ReadCommitted())
	return errors.Join(s.readValues([]string{"a", "c"}, committed), s.readValues([]string{"a", "b", "c"}))
}

func transactSession(s *stage) error {
	group, out := report.Name("group"), report.Name("franz-out")
	if _, err := s.admin.CreateTopic(s.ctx, 1, -1, nil, out); err != nil {
		return err
	}
	if err := s.send(numbers(20)); err != nil {
		return err
	}
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(report.Bootstrap()...),
		kgo.TransactionalID(report.Name("txn")),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(s.topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(200*time.Millisecond),
	)
	if err != nil {
		return err
	}
	s.t.Defer(session.Close)
	for copied := 0; copied < 20; {
		fetches := session.PollFetches(s.ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		if err := session.Begin(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			session.Produce(s.ctx, &kgo.Record{Topic: out, Value: record.Value}, nil)
			copied++
		}
		isCommitted, err := session.End(s.ctx, kgo.TryCommit)
		if err != nil || !isCommitted {
			return fmt.Errorf("committed %v: %w", isCommitted, err)
		}
	}
	// A commit is answered before it is carried out, and this asks for what is there.
	err = report.Eventually("the group's offset", limit, func() bool {
		offsets, err := s.admin.FetchOffsets(s.ctx, group)
		at, _ := offsets.Lookup(s.topic, 0)
		return err == nil && at.At == 20
	})
	copies := &stage{t: s.t, ctx: s.ctx, admin: s.admin, topic: out}
	return errors.Join(
		err,
		copies.readValues(numbers(20), kgo.FetchIsolationLevel(kgo.ReadCommitted())),
	)
}

func topicConfigs(s *stage) error {
	value := "7200000"
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}
	altered, err := s.admin.AlterTopicConfigs(s.ctx, change, s.topic)
	if err == nil {
		err = altered[0].Err
	}
	if err != nil {
		return err
	}
	return report.Eventually("the new value", limit, func() bool {
		described, err := s.admin.DescribeTopicConfigs(s.ctx, s.topic)
		if err != nil {
			return false
		}
		for _, config := range described[0].Configs {
			if config.Key == "retention.ms" {
				return config.MaybeValue() == value
			}
		}
		return false
	})
}

func deleteRecords(s *stage) error {
	if err := s.send(numbers(5)); err != nil {
		return err
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset(s.topic, 0, 3, -1)
	deleted, err := s.admin.DeleteRecords(s.ctx, offsets)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return err
	}
	return s.readValues(numbers(5)[3:])
}

func describeCluster(s *stage) error {
	found, err := s.admin.BrokerMetadata(s.ctx)
	if err == nil && (found.Cluster == "" || len(found.Brokers) == 0 || found.Controller < 0) {
		err = fmt.Errorf("%+v", found)
	}
	return err
}

func main() {
	report.Run("github.com/twmb/franz-go", []report.Case{
		{Name: "create-topic", Run: on(3, createTopic)},
		{Name: "delete-topic", Run: on(1, deleteTopic)},
		{Name: "create-partitions", Run: on(1, createPartitions)},
		{Name: "codec-none", Run: on(1, codec(kgo.NoCompression()))},
		{Name: "codec-gzip", Run: on(1, codec(kgo.GzipCompression()))},
		{Name: "codec-snappy", Run: on(1, codec(kgo.SnappyCompression()))},
		{Name: "codec-lz4", Run: on(1, codec(kgo.Lz4Compression()))},
		{Name: "codec-zstd", Run: on(1, codec(kgo.ZstdCompression()))},
		{Name: "keys-and-headers", Run: on(1, keysAndHeaders)},
		{Name: "watermarks", Run: on(1, watermarks)},
		{Name: "large-message", Run: on(1, largeMessage)},
		{Name: "group-commit-resume", Run: on(1, groupCommitResume)},
		{Name: "group-two-members", Run: on(4, groupTwoMembers(kgo.Balancers(kgo.RangeBalancer())))},
		{Name: "group-cooperative", Run: on(4, groupTwoMembers(kgo.Balancers(kgo.CooperativeStickyBalancer())))},
		{Name: "group-admin", Run: on(1, groupAdmin)},
		{Name: "idempotent-producer", Run: on(1, idempotentProducer)},
		{Name: "transaction", Run: on(1, transaction)},
		{Name: "transaction-offsets", Run: on(1, transactSession)},
		{Name: "topic-configs", Run: on(1, topicConfigs)},
		{Name: "delete-records", Run: on(1, deleteRecords)},
		{Name: "describe-cluster", Run: on(1, describeCluster)},
	})
}
