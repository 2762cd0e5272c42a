// The cases of interop/clients/CASES.md with kafkajs.

import { createRequire } from 'node:module'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import { bootstrap, check, codecs, equal, eventually, nameOf, refused, run, Skip, sleep } from './report.js'

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = snappy
const version = createRequire(import.meta.url)('kafkajs/package.json').version
const kinds = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' }

const kafka = new Kafka({
  clientId: 'interop',
  brokers: bootstrap,
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 100, retries: 8 }
})
const admin = kafka.admin()
await admin.connect()

async function topic (numPartitions = 1, configEntries = []) {
  const name = nameOf('kafkajs')
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: name, numPartitions, configEntries }] })
  return name
}

async function producer (defer, options = {}) {
  const made = kafka.producer(options)
  await made.connect()
  defer(() => made.disconnect())
  return made
}

async function send (defer, name, values, more = {}) {
  const sender = await producer(defer)
  return sender.send({ topic: name, messages: values.map(value => ({ value, partition: 0 })), ...more })
}

/** A member that collects what it reads. */
async function member (defer, groupId, name, options = {}) {
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: 6000,
    heartbeatInterval: 500,
    rebalanceTimeout: 10000,
    maxWaitTimeInMs: 200,
    ...options
  })
  const found = { consumer, messages: [], partitions: undefined }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { found.partitions = payload.memberAssignment[name] ?? [] })
  await consumer.connect()
  defer(() => consumer.disconnect())
  await consumer.subscribe({ topic: name, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => { found.messages.push({ partition, ...message }) }
  })
  return found
}

async function read (defer, name, count, options = {}) {
  const reader = await member(defer, nameOf('read'), name, options)
  await eventually(() => reader.messages.length >= count)
  await sleep(200)
  check(reader.messages.length === count, `${reader.messages.length} messages, not ${count}`)
  return reader.messages
}

const text = messages => messages.map(message => message.value?.toString() ?? null)
const offsetOf = async (groupId, name) => (await admin.fetchOffsets({ groupId, topics: [name] }))[0].partitions[0].offset

const cases = {
  'create-topic': async () => {
    const name = await topic(3)
    equal(await admin.createTopics({ topics: [{ topic: name }] }), false)
  },
  'describe-topic': async () => {
    const name = await topic(2)
    const { topics } = await admin.fetchTopicMetadata({ topics: [name] })
    equal(topics[0].partitions.length, 2)
    check(topics[0].partitions[0].leader >= 0, 'a leader')
  },
  'delete-topic': async () => {
    const name = await topic()
    await admin.deleteTopics({ topics: [name], timeout: 10000 })
    await eventually(async () => !(await admin.listTopics()).includes(name))
  },
  'create-partitions': async () => {
    const name = await topic(1)
    await admin.createPartitions({ topicPartitions: [{ topic: name, count: 3 }] })
    await eventually(async () => (await admin.fetchTopicOffsets(name)).length === 3)
    await refused(() => admin.createPartitions({ topicPartitions: [{ topic: name, count: 2 }] }), 'INVALID_PARTITIONS', 'Number of partitions is invalid')
  },
  'auto-create-topic': async defer => {
    await send(defer, nameOf('auto'), ['first'], { messages: [{ value: 'first' }] })
  }
}

for (const kind of codecs) {
  cases[`codec-${kind}`] = async defer => {
    if (kind === 'lz4' || kind === 'zstd') throw new Skip('kafkajs has no such codec of its own')
    const name = await topic()
    const sent = Array.from({ length: 300 }, (_, number) => `${number} ${'text '.repeat(40)}`)
    await send(defer, name, sent, { compression: CompressionTypes[kinds[kind]] })
    equal(text(await read(defer, name, 300)), sent)
  }
}

Object.assign(cases, {
  'keys-and-headers': async defer => {
    const name = await topic()
    const sender = await producer(defer)
    await sender.send({
      topic: name,
      messages: [
        { key: 'k', value: 'v', headers: { a: ['1', '2'], empty: '' } },
        { key: 'tombstone', value: null },
        { key: null, value: '' }
      ]
    })
    const [one, two, three] = await read(defer, name, 3)
    equal([one.key.toString(), one.headers.a.map(String), String(one.headers.empty)], ['k', ['1', '2'], ''])
    equal([two.key.toString(), two.value], ['tombstone', null])
    equal([three.key, three.value.length], [null, 0])
  },
  timestamps: async defer => {
    const name = await topic()
    const sender = await producer(defer)
    const messages = [0, 1, 2].map(number => ({ value: 'x', timestamp: `${1_700_000_000_000 + number * 1000}` }))
    await sender.send({ topic: name, messages })
    equal((await read(defer, name, 3))[1].timestamp, '1700000001000')
    equal((await admin.fetchTopicOffsetsByTimestamp(name, 1_700_000_000_500))[0].offset, '1')
  },
  watermarks: async defer => {
    const name = await topic()
    await send(defer, name, Array(7).fill('x'))
    const [{ low, high }] = await admin.fetchTopicOffsets(name)
    equal([low, high], ['0', '7'])
  },
  seek: async defer => {
    const name = await topic()
    await send(defer, name, Array.from({ length: 10 }, (_, number) => `${number}`))
    const reader = await member(defer, nameOf('seek'), name)
    await eventually(() => reader.messages.length === 10)
    reader.consumer.seek({ topic: name, partition: 0, offset: '8' })
    await eventually(() => reader.messages.length === 12)
    equal(text(reader.messages.slice(10)), ['8', '9'])
  },
  'out-of-range-resets': async defer => {
    const name = await topic()
    await send(defer, name, ['a', 'b'])
    const groupId = nameOf('group')
    await admin.setOffsets({ groupId, topic: name, partitions: [{ partition: 0, offset: '500' }] })
    const reader = await member(defer, groupId, name)
    await eventually(() => reader.messages.length === 2)
  },
  'large-message': async defer => {
    const name = await topic()
    await send(defer, name, [Buffer.alloc(900_000)])
    equal((await read(defer, name, 1))[0].value.length, 900_000)
    await refused(() => send(defer, name, [Buffer.alloc(1_500_000)]), 'MESSAGE_TOO_LARGE', 'larger than the max message size')
  },
  'group-commit-resume': async defer => {
    const [name, groupId] = [await topic(), nameOf('group')]
    await send(defer, name, Array.from({ length: 10 }, (_, number) => `${number}`))
    const first = await member(defer, groupId, name)
    await eventually(() => first.messages.length === 10)
    await first.consumer.commitOffsets([{ topic: name, partition: 0, offset: '4' }])
    await first.consumer.disconnect()
    const second = await member(defer, groupId, name)
    await eventually(() => second.messages.length === 6)
    equal(second.messages[0].value.toString(), '4')
    equal(await offsetOf(groupId, name), '4')
  },
  'group-two-members': async defer => {
    const [name, groupId] = [await topic(4), nameOf('group')]
    const first = await member(defer, groupId, name)
    await eventually(() => first.partitions?.length === 4, 40)
    const second = await member(defer, groupId, name)
    await eventually(() => first.partitions?.length === 2 && second.partitions?.length === 2, 40)
    await second.consumer.disconnect()
    await eventually(() => first.partitions?.length === 4, 40)
  },
  'group-admin': async defer => {
    const [name, groupId] = [await topic(), nameOf('group')]
    await send(defer, name, ['a', 'b'])
    const reader = await member(defer, groupId, name)
    await eventually(() => reader.messages.length === 2)
    await reader.consumer.commitOffsets([{ topic: name, partition: 0, offset: '2' }])
    const [found] = (await admin.describeGroups([groupId])).groups
    equal([found.state, found.members.length, found.protocolType], ['Stable', 1, 'consumer'])
    await refused(() => admin.deleteGroups([groupId]), 'NON_EMPTY_GROUP')
    await reader.consumer.disconnect()
    check((await admin.listGroups()).groups.some(group => group.groupId === groupId), 'the group is listed')
    await eventually(async () => (await admin.describeGroups([groupId])).groups[0].state === 'Empty')
    equal(await offsetOf(groupId, name), '2')
    await admin.resetOffsets({ groupId, topic: name, earliest: true })
    equal(await offsetOf(groupId, name), '-2')
    await admin.setOffsets({ groupId, topic: name, partitions: [{ partition: 0, offset: '1' }] })
    equal(await offsetOf(groupId, name), '1')
    await admin.deleteGroups([groupId])
    await refused(() => admin.deleteGroups([groupId]), 'GROUP_ID_NOT_FOUND')
  },
  'idempotent-producer': async defer => {
    const name = await topic()
    const sender = await producer(defer, { idempotent: true })
    const sent = Array.from({ length: 200 }, (_, number) => `${number}`)
    for (let at = 0; at < 200; at += 20) {
      await sender.send({ topic: name, messages: sent.slice(at, at + 20).map(value => ({ value })) })
    }
    equal(text(await read(defer, name, 200)), sent)
  },
  transaction: async defer => {
    const name = await topic()
    const sender = await producer(defer, { transactionalId: nameOf('txn'), maxInFlightRequests: 1, idempotent: true })
    for (const [value, isKept] of [['a', true], ['b', false], ['c', true]]) {
      const transaction = await sender.transaction()
      await transaction.send({ topic: name, messages: [{ value }] })
      await (isKept ? transaction.commit() : transaction.abort())
    }
    equal(text(await read(defer, name, 2)), ['a', 'c'])
    equal(text(await read(defer, name, 3, { readUncommitted: true })), ['a', 'b', 'c'])
  },
  'transaction-offsets': async defer => {
    const [name, consumerGroupId] = [await topic(), nameOf('group')]
    const sender = await producer(defer, { transactionalId: nameOf('txn'), maxInFlightRequests: 1, idempotent: true })
    for (const isKept of [false, true]) {
      const transaction = await sender.transaction()
      await transaction.send({ topic: name, messages: [{ value: 'out' }] })
      const topics = [{ topic: name, partitions: [{ partition: 0, offset: '7' }] }]
      await transaction.sendOffsets({ consumerGroupId, topics })
      await (isKept ? transaction.commit() : transaction.abort())
      await eventually(async () => (await offsetOf(consumerGroupId, name)) === (isKept ? '7' : '-1'))
    }
  },
  'topic-configs': async () => {
    const name = await topic(1, [{ name: 'retention.ms', value: '3600000' }])
    const resources = [{ type: ConfigResourceTypes.TOPIC, name }]
    const ask = async () => {
      const { resources: [found] } = await admin.describeConfigs({ resources, includeSynonyms: false })
      return Object.fromEntries(found.configEntries.map(entry => [entry.configName, entry.configValue]))
    }
    equal((await ask())['retention.ms'], '3600000')
    check('cleanup.policy' in await ask(), 'all keys are told')
    const change = [{ ...resources[0], configEntries: [{ name: 'retention.ms', value: '7200000' }] }]
    await admin.alterConfigs({ resources: change })
    await eventually(async () => (await ask())['retention.ms'] === '7200000')
  },
  'delete-records': async defer => {
    const name = await topic()
    await send(defer, name, ['0', '1', '2', '3', '4'])
    // It finds the leader only of a topic that it has met.
    await admin.fetchTopicOffsets(name)
    await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '3' }] })
    equal((await admin.fetchTopicOffsets(name))[0].low, '3')
    equal(text(await read(defer, name, 2)), ['3', '4'])
  },
  'describe-cluster': async () => {
    const found = await admin.describeCluster()
    check(found.clusterId && found.brokers.length > 0 && found.controller !== null, 'id, brokers, controller')
  }
})

await run(version, cases)
