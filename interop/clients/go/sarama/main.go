// The cases of interop/clients/CASES.md with Sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"interop/report"
)

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V4_0_0_0
	c.ClientID = "interop"
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = 6 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Metadata.AllowAutoTopicCreation = false
	return c
}

func admin(t *report.T) (sarama.ClusterAdmin, error) {
	a, err := sarama.NewClusterAdmin(report.Bootstrap(), config())
	if err == nil {
		t.Defer(func() { _ = a.Close() })
	}
	return a, err
}

func topic(t *report.T, partitions int32) (string, error) {
	a, err := admin(t)
	if err != nil {
		return "", err
	}
	name := report.Name("sarama")
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: -1}
	if err := a.CreateTopic(name, detail, false); err != nil {
		return "", err
	}
	return name, report.Eventually("the topic", 20*time.Second, func() bool {
		found, err := a.DescribeTopics([]string{name})
		return err == nil && len(found) == 1 && len(found[0].Partitions) == int(partitions)
	})
}

func send(name string, values []string, change func(*sarama.Config)) error {
	c := config()
	if change != nil {
		change(c)
	}
	p, err := sarama.NewSyncProducer(report.Bootstrap(), c)
	if err != nil {
		return err
	}
	defer p.Close()
	messages := make([]*sarama.ProducerMessage, len(values))
	for at, value := range values {
		messages[at] = &sarama.ProducerMessage{Topic: name, Value: sarama.StringEncoder(value)}
	}
	return p.SendMessages(messages)
}

func read(name string, from int64, count int, level sarama.IsolationLevel) ([]*sarama.ConsumerMessage, error) {
	c := config()
	c.Consumer.IsolationLevel = level
	consumer, err := sarama.NewConsumer(report.Bootstrap(), c)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(name, 0, from)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	var messages []*sarama.ConsumerMessage
	for len(messages) < count {
		select {
		case message := <-partition.Messages():
			messages = append(messages, message)
		case <-time.After(20 * time.Second):
			return nil, fmt.Errorf("%d of %d messages", len(messages), count)
		}
	}
	return messages, nil
}

func values(messages []*sarama.ConsumerMessage) []string {
	var found []string
	for _, message := range messages {
		found = append(found, string(message.Value))
	}
	return found
}

func readValues(name string, from int64, expected []string, level sarama.IsolationLevel) error {
	messages, err := read(name, from, len(expected), level)
	if err != nil {
		return err
	}
	return report.Expect("values", values(messages), expected)
}

func numbers(count int) []string {
	found := make([]string, count)
	for at := range found {
		found[at] = fmt.Sprint(at, strings.Repeat(" text", 40))
	}
	return found
}

func createTopic(t *report.T) error {
	name, err := topic(t, 3)
	if err != nil {
		return err
	}
	a, err := admin(t)
	if err != nil {
		return err
	}
	again := a.CreateTopic(name, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: -1}, false)
	return report.Refused(again, sarama.ErrTopicAlreadyExists)
}

func deleteTopic(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	a, err := admin(t)
	if err != nil {
		return err
	}
	if err := a.DeleteTopic(name); err != nil {
		return err
	}
	err = report.Eventually("the topic's end", 20*time.Second, func() bool {
		topics, err := a.ListTopics()
		_, isThere := topics[name]
		return err == nil && !isThere
	})
	if err != nil {
		return err
	}
	return report.Refused(a.DeleteTopic(name), sarama.ErrUnknownTopicOrPartition)
}

func createPartitions(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	a, err := admin(t)
	if err != nil {
		return err
	}
	if err := a.CreatePartitions(name, 3, nil, false); err != nil {
		return err
	}
	return report.Refused(a.CreatePartitions(name, 2, nil, false), sarama.ErrInvalidPartitions)
}

func codec(kind sarama.CompressionCodec) func(*report.T) error {
	return func(t *report.T) error {
		name, err := topic(t, 1)
		if err != nil {
			return err
		}
		sent := numbers(300)
		if err := send(name, sent, func(c *sarama.Config) { c.Producer.Compression = kind }); err != nil {
			return err
		}
		return readValues(name, 0, sent, sarama.ReadUncommitted)
	}
}

// An old application: Sarama speaks the versions of the release that it is told.
func oldVersions(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	sent := numbers(50)
	if err := send(name, sent, func(c *sarama.Config) { c.Version = sarama.V2_1_0_0 }); err != nil {
		return err
	}
	return readValues(name, 0, sent, sarama.ReadUncommitted)
}

func keysAndHeaders(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	p, err := sarama.NewSyncProducer(report.Bootstrap(), config())
	if err != nil {
		return err
	}
	defer p.Close()
	headers := []sarama.RecordHeader{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("a"), Value: []byte("2")}}
	at := time.UnixMilli(1_700_000_001_000)
	first := &sarama.ProducerMessage{Topic: name, Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder("v"), Headers: headers, Timestamp: at}
	second := &sarama.ProducerMessage{Topic: name, Key: sarama.StringEncoder("tombstone"), Timestamp: at.Add(time.Second)}
	for _, message := range []*sarama.ProducerMessage{first, second} {
		if _, _, err := p.SendMessage(message); err != nil {
			return err
		}
	}
	found, err := read(name, 0, 2, sarama.ReadUncommitted)
	if err != nil {
		return err
	}
	return errors.Join(
		report.Expect("key", string(found[0].Key), "k"),
		report.Expect("headers", len(found[0].Headers), 2),
		report.Expect("second header", string(found[0].Headers[1].Value), "2"),
		report.Expect("timestamp", found[0].Timestamp.UnixMilli(), at.UnixMilli()),
		report.Expect("tombstone", found[1].Value == nil, true),
	)
}

func watermarks(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	if err := send(name, numbers(7), nil); err != nil {
		return err
	}
	client, err := sarama.NewClient(report.Bootstrap(), config())
	if err != nil {
		return err
	}
	defer client.Close()
	oldest, err := client.GetOffset(name, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	newest, err := client.GetOffset(name, 0, sarama.OffsetNewest)
	return errors.Join(err, report.Expect("offsets", []int64{oldest, newest}, []int64{0, 7}))
}

func outOfRange(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	_, err = read(name, 500, 1, sarama.ReadUncommitted)
	return report.Refused(err, sarama.ErrOffsetOutOfRange)
}

func largeMessage(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	allow := func(c *sarama.Config) { c.Producer.MaxMessageBytes = 3_000_000 }
	if err := send(name, []string{strings.Repeat("x", 900_000)}, allow); err != nil {
		return err
	}
	err = send(name, []string{strings.Repeat("x", 1_500_000)}, allow)
	var failed sarama.ProducerErrors
	if errors.As(err, &failed) {
		err = failed[0].Err
	}
	return report.Refused(err, sarama.ErrMessageSizeTooLarge)
}

// member is a group member that collects what it reads.
type member struct {
	sync.Mutex
	partitions []int32
	values     []string
	commit     int64
	group      sarama.ConsumerGroup
	cancel     context.CancelFunc
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.Lock()
	defer m.Unlock()
	m.partitions = nil
	for _, claimed := range session.Claims() {
		m.partitions = append(m.partitions, claimed...)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, isOpen := <-claim.Messages():
			if !isOpen {
				return nil
			}
			m.Lock()
			m.values = append(m.values, string(message.Value))
			if m.commit > 0 && len(m.values) == 10 {
				session.ResetOffset(message.Topic, message.Partition, m.commit, "")
				session.MarkOffset(message.Topic, message.Partition, m.commit, "told")
				session.Commit()
			}
			m.Unlock()
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) count() (int, int) {
	m.Lock()
	defer m.Unlock()
	return len(m.partitions), len(m.values)
}

func join(t *report.T, group, name string, commit int64) (*member, error) {
	g, err := sarama.NewConsumerGroup(report.Bootstrap(), group, config())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{commit: commit, group: g, cancel: cancel}
	go func() {
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{name}, m); err != nil {
				return
			}
		}
	}()
	t.Defer(m.leave)
	return m, nil
}

func (m *member) leave() {
	m.cancel()
	_ = m.group.Close()
}

func groupCommitResume(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	group := report.Name("group")
	if err := send(name, numbers(10), nil); err != nil {
		return err
	}
	first, err := join(t, group, name, 4)
	if err != nil {
		return err
	}
	err = report.Eventually("ten messages", 30*time.Second, func() bool { _, n := first.count(); return n == 10 })
	if err != nil {
		return err
	}
	first.leave()
	second, err := join(t, group, name, 0)
	if err != nil {
		return err
	}
	err = report.Eventually("six messages", 30*time.Second, func() bool { _, n := second.count(); return n == 6 })
	return errors.Join(err, report.Expect("first", second.values[0], numbers(10)[4]))
}

func groupTwoMembers(t *report.T) error {
	name, err := topic(t, 4)
	if err != nil {
		return err
	}
	group := report.Name("group")
	first, err := join(t, group, name, 0)
	if err != nil {
		return err
	}
	all := func() bool { n, _ := first.count(); return n == 4 }
	if err := report.Eventually("all partitions", 40*time.Second, all); err != nil {
		return err
	}
	second, err := join(t, group, name, 0)
	if err != nil {
		return err
	}
	err = report.Eventually("two partitions each", 40*time.Second, func() bool {
		one, _ := first.count()
		other, _ := second.count()
		return one == 2 && other == 2
	})
	if err != nil {
		return err
	}
	second.leave()
	return report.Eventually("all partitions again", 40*time.Second, all)
}

func groupAdmin(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	a, err := admin(t)
	if err != nil {
		return err
	}
	group := report.Name("group")
	if err := send(name, numbers(10), nil); err != nil {
		return err
	}
	m, err := join(t, group, name, 4)
	if err != nil {
		return err
	}
	err = report.Eventually("ten messages", 30*time.Second, func() bool { _, n := m.count(); return n == 10 })
	if err != nil {
		return err
	}
	described, err := a.DescribeConsumerGroups([]string{group})
	if err != nil {
		return err
	}
	listed, err := a.ListConsumerGroups()
	if err != nil {
		return err
	}
	offsets, err := a.ListConsumerGroupOffsets(group, map[string][]int32{name: {0}})
	if err != nil {
		return err
	}
	err = errors.Join(
		report.Expect("state", described[0].State, "Stable"),
		report.Expect("members", len(described[0].Members), 1),
		report.Expect("type", listed[group], "consumer"),
		report.Expect("offset", offsets.GetBlock(name, 0).Offset, 4),
		report.Refused(a.DeleteConsumerGroup(group), sarama.ErrNonEmptyGroup),
	)
	if err != nil {
		return err
	}
	m.leave()
	return report.Eventually("deletion", 20*time.Second, func() bool { return a.DeleteConsumerGroup(group) == nil })
}

func idempotent(c *sarama.Config) {
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
}

func idempotentProducer(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	if err := send(name, numbers(200), idempotent); err != nil {
		return err
	}
	return readValues(name, 0, numbers(200), sarama.ReadUncommitted)
}

func transaction(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	c := config()
	idempotent(c)
	c.Producer.Transaction.ID = report.Name("txn")
	p, err := sarama.NewSyncProducer(report.Bootstrap(), c)
	if err != nil {
		return err
	}
	t.Defer(func() { _ = p.Close() })
	group := report.Name("group")
	for at, value := range []string{"a", "b", "c"} {
		if err := p.BeginTxn(); err != nil {
			return err
		}
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: name, Value: sarama.StringEncoder(value)}); err != nil {
			return err
		}
		end := p.CommitTxn
		if value == "b" {
			end = p.AbortTxn
		}
		offsets := map[string][]*sarama.PartitionOffsetMetadata{name: {{Partition: 0, Offset: int64(at)}}}
		if err := errors.Join(p.AddOffsetsToTxn(offsets, group), end()); err != nil {
			return err
		}
	}
	if err := readValues(name, 0, []string{"a", "c"}, sarama.ReadCommitted); err != nil {
		return err
	}
	return readValues(name, 0, []string{"a", "b", "c"}, sarama.ReadUncommitted)
}

func topicConfigs(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	a, err := admin(t)
	if err != nil {
		return err
	}
	value := "7200000"
	entries := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}
	if err := a.IncrementalAlterConfig(sarama.TopicResource, name, entries, false); err != nil {
		return err
	}
	return report.Eventually("the new value", 20*time.Second, func() bool {
		found, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: name})
		sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
		for _, entry := range found {
			if err == nil && entry.Name == "retention.ms" {
				return entry.Value == value
			}
		}
		return false
	})
}

func deleteRecords(t *report.T) error {
	name, err := topic(t, 1)
	if err != nil {
		return err
	}
	a, err := admin(t)
	if err != nil {
		return err
	}
	if err := send(name, numbers(5), nil); err != nil {
		return err
	}
	if err := a.DeleteRecords(name, map[int32]int64{0: 3}); err != nil {
		return err
	}
	return readValues(name, sarama.OffsetOldest, numbers(5)[3:], sarama.ReadUncommitted)
}

func describeCluster(t *report.T) error {
	a, err := admin(t)
	if err != nil {
		return err
	}
	brokers, controller, err := a.DescribeCluster()
	if err == nil && (len(brokers) == 0 || controller < 0) {
		err = fmt.Errorf("brokers %v, controller %d", brokers, controller)
	}
	return err
}

func main() {
	report.Run("github.com/IBM/sarama", []report.Case{
		{Name: "create-topic", Run: createTopic},
		{Name: "delete-topic", Run: deleteTopic},
		{Name: "create-partitions", Run: createPartitions},
		{Name: "codec-none", Run: codec(sarama.CompressionNone)},
		{Name: "codec-gzip", Run: codec(sarama.CompressionGZIP)},
		{Name: "codec-snappy", Run: codec(sarama.CompressionSnappy)},
		{Name: "codec-lz4", Run: codec(sarama.CompressionLZ4)},
		{Name: "codec-zstd", Run: codec(sarama.CompressionZSTD)},
		{Name: "old-versions", Run: oldVersions},
		{Name: "keys-and-headers", Run: keysAndHeaders},
		{Name: "watermarks", Run: watermarks},
		{Name: "out-of-range", Run: outOfRange},
		{Name: "large-message", Run: largeMessage},
		{Name: "group-commit-resume", Run: groupCommitResume},
		{Name: "group-two-members", Run: groupTwoMembers},
		{Name: "group-admin", Run: groupAdmin},
		{Name: "idempotent-producer", Run: idempotentProducer},
		{Name: "transaction", Run: transaction},
		{Name: "topic-configs", Run: topicConfigs},
		{Name: "delete-records", Run: deleteRecords},
		{Name: "describe-cluster", Run: describeCluster},
	})
}
