// The cases of interop/clients/CASES.md with @platformatic/kafka.

import { readFileSync } from 'node:fs'
import zlib from 'node:zlib'
import { Admin, Consumer, FetchIsolationLevels, ListOffsetTimestamps, Producer } from '@platformatic/kafka'
import { bootstrap, check, codecs, equal, eventually, nameOf, refused, run, Skip, sleep } from './report.js'

// It is written for Node.js 22, which has this.
Promise.withResolvers ??= function () {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}
// It exports neither its version nor its package.json.
const manifest = new URL('node_modules/@platformatic/kafka/package.json', import.meta.url)
const { version } = JSON.parse(readFileSync(manifest, 'utf8'))
const options = { clientId: 'interop', bootstrapBrokers: bootstrap, retries: 20, retryDelay: 150, metadataMaxAge: 1000 }
const admin = new Admin(options)
const TOPIC = 2

async function topic (partitions = 1, configs = []) {
  const name = nameOf('platformatic')
  await admin.createTopics({ topics: [name], partitions, replicas: -1, configs })
  await eventually(async () => (await partitionsOf(name)) === partitions)
  return name
}

async function partitionsOf (name) {
  const found = await admin.metadata({ topics: [name], forceUpdate: true })
  return found.topics.get(name)?.partitionsCount
}

function producer (defer, more = {}) {
  const made = new Producer({ ...options, ...more })
  defer(() => made.close())
  return made
}

const messages = (topic, values, partition = 0) =>
  values.map(value => ({ topic, partition, value: value === null ? null : Buffer.from(value) }))

async function send (defer, name, values, more = {}) {
  return producer(defer).send({ messages: messages(name, values), ...more })
}

/** A member that collects what it reads. */
async function member (defer, groupId, name, more = {}) {
  const consumer = new Consumer({
    ...options,
    groupId,
    sessionTimeout: 6000,
    heartbeatInterval: 500,
    rebalanceTimeout: 10000,
    maxWaitTime: 200,
    autocommit: false
  })
  defer(() => consumer.close(true))
  const stream = await consumer.consume({ topics: [name], mode: 'committed', fallbackMode: 'earliest', ...more })
  const found = { consumer, messages: [], failure: undefined }
  stream.on('data', message => found.messages.push(message))
  stream.on('error', error => { found.failure = error })
  found.count = () => consumer.assignments?.find(one => one.topic === name)?.partitions.length ?? 0
  return found
}

async function read (defer, name, count, more = {}) {
  const reader = await member(defer, nameOf('read'), name, { mode: 'earliest', fallbackMode: undefined, ...more })
  await eventually(() => reader.failure !== undefined || reader.messages.length >= count)
  await sleep(200)
  check(reader.failure === undefined, String(reader.failure))
  check(reader.messages.length === count, `${reader.messages.length} messages, not ${count}`)
  return reader.messages
}

const text = list => list.map(message => message.value?.toString() ?? null)
const numbers = count => Array.from({ length: count }, (_, number) => `${number}`)
const commitAt = (topic, offset) => ({ offsets: [{ topic, partition: 0, offset, leaderEpoch: -1 }] })

async function committed (groupId, name) {
  const [group] = await admin.listConsumerGroupOffsets({ groups: [groupId] })
  return group.topics.find(one => one.name === name)?.partitions[0].committedOffset
}

async function offsetAt (name, timestamp, isolationLevel) {
  const topics = [{ name, partitions: [{ partitionIndex: 0, timestamp }] }]
  return (await admin.listOffsets({ topics, isolationLevel }))[0].partitions[0].offset
}

const state = async groupId => (await admin.describeGroups({ groups: [groupId] })).get(groupId)?.state

function checkCodec (kind) {
  if (kind === 'zstd' && !zlib.zstdCompressSync) throw new Skip('this Node.js has no zstd')
}

const cases = {
  'create-topic': async () => {
    const name = await topic(3)
    await refused(() => admin.createTopics({ topics: [name], partitions: 3, replicas: -1 }), 'TOPIC_ALREADY_EXISTS')
  },
  'describe-topic': async () => {
    const name = await topic(2)
    const found = (await admin.metadata({ topics: [name] })).topics.get(name)
    check(found.partitions.length === 2 && found.partitions[0].leader >= 0, 'two partitions with a leader')
  },
  'delete-topic': async () => {
    const name = await topic()
    await admin.deleteTopics({ topics: [name] })
    await eventually(async () => !(await admin.listTopics()).includes(name))
    await refused(() => admin.deleteTopics({ topics: [name] }), 'UNKNOWN_TOPIC_OR_PARTITION')
  },
  'create-partitions': async () => {
    const name = await topic(1)
    await admin.createPartitions({ topics: [{ name, count: 3 }] })
    await eventually(async () => (await partitionsOf(name)) === 3)
    await refused(() => admin.createPartitions({ topics: [{ name, count: 2 }] }), 'INVALID_PARTITIONS')
  },
  'auto-create-topic': async defer => {
    const sender = producer(defer, { autocreateTopics: true })
    const sent = await sender.send({ messages: [{ topic: nameOf('auto'), value: Buffer.from('first') }] })
    equal(sent.offsets.map(one => one.offset), [0n])
  }
}

for (const kind of codecs) {
  cases[`codec-${kind}`] = async defer => {
    checkCodec(kind)
    const name = await topic()
    const sent = numbers(300).map(number => `${number} ${'text '.repeat(40)}`)
    await send(defer, name, sent, { compression: kind })
    equal(text(await read(defer, name, 300)), sent)
  }
}

Object.assign(cases, {
  'keys-and-headers': async defer => {
    const name = await topic()
    const at = { topic: name, partition: 0 }
    const headers = new Map([[Buffer.from('a'), Buffer.from('1')], [Buffer.from('empty'), Buffer.alloc(0)]])
    await producer(defer).send({
      messages: [
        { ...at, key: Buffer.from('k'), value: Buffer.from('v'), headers },
        { ...at, key: Buffer.from('tombstone'), value: null },
        { ...at, value: Buffer.alloc(0) }
      ]
    })
    const [one, two, three] = await read(defer, name, 3)
    const read_ = one.headerEntries.map(([key, value]) => [key.toString(), value.toString()])
    equal([one.key.toString(), one.value.toString(), read_], ['k', 'v', [['a', '1'], ['empty', '']]])
    equal([two.key.toString(), two.value?.length ?? 0], ['tombstone', 0])
    equal([three.key?.length ?? 0, three.value.length], [0, 0])
  },
  timestamps: async defer => {
    const name = await topic()
    const at = number => 1_700_000_000_000n + BigInt(number * 1000)
    await producer(defer).send({
      messages: messages(name, ['x', 'x', 'x']).map((message, number) => ({ ...message, timestamp: at(number) }))
    })
    equal((await read(defer, name, 3))[1].timestamp, at(1))
    equal(await offsetAt(name, 1_700_000_000_500n), 1n)
    equal(await offsetAt(name, 1_800_000_000_000n), -1n)
  },
  watermarks: async defer => {
    const name = await topic()
    await send(defer, name, Array(7).fill('x'))
    equal([await offsetAt(name, ListOffsetTimestamps.EARLIEST), await offsetAt(name, ListOffsetTimestamps.LATEST)], [0n, 7n])
  },
  seek: async defer => {
    const name = await topic()
    await send(defer, name, numbers(10))
    const place = { mode: 'manual', fallbackMode: undefined, offsets: [{ topic: name, partition: 0, offset: 8n }] }
    equal(text(await read(defer, name, 2, place)), ['8', '9'])
  },
  'out-of-range-resets': async defer => {
    const [name, groupId] = [await topic(), nameOf('group')]
    await send(defer, name, ['a', 'b'])
    await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name, partitionOffsets: [{ partition: 0, offset: 500n }] }] })
    const reader = await member(defer, groupId, name)
    await eventually(() => reader.failure !== undefined || reader.messages.length === 2)
    if (reader.failure) throw new Skip('it fails where its place is out of range')
  },
  'large-message': async defer => {
    const name = await topic()
    await send(defer, name, [Buffer.alloc(900_000)])
    equal((await read(defer, name, 1))[0].value.length, 900_000)
    await refused(() => send(defer, name, [Buffer.alloc(1_500_000)]), 'MESSAGE_TOO_LARGE')
  },
  'group-commit-resume': async defer => {
    const [name, groupId] = [await topic(), nameOf('group')]
    await send(defer, name, numbers(10))
    const first = await member(defer, groupId, name)
    await eventually(() => first.messages.length === 10)
    await first.consumer.commit(commitAt(name, 4n))
    await first.consumer.close(true)
    const second = await member(defer, groupId, name)
    await eventually(() => second.messages.length === 6)
    equal(second.messages[0].value.toString(), '4')
    equal(await committed(groupId, name), 4n)
  },
  'group-two-members': async defer => {
    const [name, groupId] = [await topic(4), nameOf('group')]
    const first = await member(defer, groupId, name)
    await eventually(() => first.count() === 4, 40)
    const second = await member(defer, groupId, name)
    await eventually(() => first.count() === 2 && second.count() === 2, 40)
    await second.consumer.close(true)
    await eventually(() => first.count() === 4, 40)
  },
  'group-admin': async defer => {
    const [name, groupId] = [await topic(), nameOf('group')]
    await send(defer, name, ['a', 'b'])
    const reader = await member(defer, groupId, name)
    await eventually(() => reader.messages.length === 2)
    await reader.consumer.commit(commitAt(name, 2n))
    const found = (await admin.describeGroups({ groups: [groupId] })).get(groupId)
    equal([found.state, found.members.size, found.protocolType], ['Stable', 1, 'consumer'])
    await refused(() => admin.deleteGroups({ groups: [groupId] }), 'NON_EMPTY_GROUP')
    await reader.consumer.close(true)
    check((await admin.listGroups()).has(groupId), 'the group is listed')
    await eventually(async () => (await state(groupId)) === 'Empty')
    equal(await committed(groupId, name), 2n)
    await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name, partitionOffsets: [{ partition: 0, offset: 1n }] }] })
    equal(await committed(groupId, name), 1n)
    await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name, partitionIndexes: [0] }] })
    equal(await committed(groupId, name), undefined)
    await admin.deleteGroups({ groups: [groupId] })
    await refused(() => admin.deleteGroups({ groups: [groupId] }), 'GROUP_ID_NOT_FOUND')
  },
  'idempotent-producer': async defer => {
    const name = await topic()
    const sender = producer(defer, { idempotent: true })
    const sent = numbers(200)
    for (let at = 0; at < 200; at += 20) await sender.send({ messages: messages(name, sent.slice(at, at + 20)) })
    equal(text(await read(defer, name, 200)), sent)
  },
  transaction: async defer => {
    const name = await topic()
    const sender = producer(defer, { idempotent: true, transactionalId: nameOf('txn') })
    for (const [value, isKept] of [['a', true], ['b', false], ['c', true]]) {
      const transaction = await sender.beginTransaction()
      await transaction.send({ messages: messages(name, [value]) })
      await (isKept ? transaction.commit() : transaction.abort())
    }
    const kept = { isolationLevel: FetchIsolationLevels.READ_COMMITTED }
    equal(text(await read(defer, name, 2, kept)), ['a', 'c'])
    const all = { isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED }
    equal(text(await read(defer, name, 3, all)), ['a', 'b', 'c'])
  },
  'transaction-offsets': async defer => {
    const [name, groupId] = [await topic(), nameOf('group')]
    await send(defer, name, ['1', '2'])
    const reader = await member(defer, groupId, name)
    await eventually(() => reader.messages.length === 2)
    const sender = producer(defer, { idempotent: true, transactionalId: nameOf('txn') })
    for (const isKept of [false, true]) {
      const transaction = await sender.beginTransaction()
      await transaction.send({ messages: messages(name, ['out']) })
      await transaction.addConsumer(reader.consumer)
      await transaction.addOffset(reader.messages[1])
      await (isKept ? transaction.commit() : transaction.abort())
      await eventually(async () => (await committed(groupId, name)) === (isKept ? 2n : undefined))
    }
  },
  'transaction-hides-while-open': async defer => {
    const name = await topic()
    const sender = producer(defer, { idempotent: true, transactionalId: nameOf('txn') })
    const transaction = await sender.beginTransaction()
    await transaction.send({ messages: messages(name, ['open']) })
    await send(defer, name, ['plain'])
    equal(await offsetAt(name, ListOffsetTimestamps.LATEST, FetchIsolationLevels.READ_COMMITTED), 0n)
    await transaction.commit()
    equal(text(await read(defer, name, 2, { isolationLevel: FetchIsolationLevels.READ_COMMITTED })), ['open', 'plain'])
  },
  'topic-configs': async () => {
    const name = await topic(1, [{ name: 'retention.ms', value: '3600000' }])
    const resource = { resourceType: TOPIC, resourceName: name }
    const ask = async () => {
      const [found] = await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: null }] })
      return Object.fromEntries(found.configs.map(entry => [entry.name, entry.value]))
    }
    equal((await ask())['retention.ms'], '3600000')
    check('cleanup.policy' in await ask(), 'all keys are told')
    const set = value => admin.incrementalAlterConfigs({
      resources: [{ ...resource, configs: [{ name: 'retention.ms', configOperation: 0, value }] }]
    })
    await set('7200000')
    await eventually(async () => (await ask())['retention.ms'] === '7200000')
    await refused(() => set('soon'), 'INVALID_CONFIG')
  },
  'delete-records': async defer => {
    const name = await topic()
    await send(defer, name, numbers(5))
    const [found] = await admin.deleteRecords({ topics: [{ name, partitions: [{ partition: 0, offset: 3n }] }] })
    equal(found.partitions[0].lowWatermark, 3n)
    equal(text(await read(defer, name, 2)), ['3', '4'])
  },
  'describe-cluster': async () => {
    const found = await admin.metadata({ topics: [] })
    check(found.id && found.brokers.size > 0 && found.controllerId >= 0, 'id, brokers, controller')
  }
})

await run(version, cases)
