// The cases of interop/clients/CASES-AMQP.md with amqplib.

import assert from 'node:assert'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import amqplib from 'amqplib'
import { bootstrap, check, equal, eventually, nameOf, run, sleep } from './report.js'

const manifest = fileURLToPath(new URL('node_modules/amqplib/package.json', import.meta.url))
const { version } = JSON.parse(readFileSync(manifest, 'utf8'))
const numbers = count => Array.from({ length: count }, (_, number) => `${number}`)

async function connect (defer, { node = 0, query = '', login = 'guest:guest', vhost = '%2f' } = {}) {
  const connection = await amqplib.connect(`amqp://${login}@${bootstrap.at(node)}/${vhost}${query}`)
  connection.failure = undefined
  connection.on('error', error => { connection.failure = error })
  defer(() => connection.close())
  return connection
}

async function channel (defer, { node = 0, confirms = false, connection } = {}) {
  const within = connection ?? await connect(defer, { node })
  const made = confirms ? await within.createConfirmChannel() : await within.createChannel()
  made.failure = undefined
  made.on('error', error => { made.failure = error })
  return made
}

async function queue (defer, ch, args = {}, more = {}) {
  const name = nameOf('amqplib')
  await ch.assertQueue(name, { durable: true, arguments: args, ...more })
  defer(async () => (await channel(defer)).deleteQueue(name))
  return name
}

async function exchange (defer, ch, kind, options = {}) {
  const name = nameOf(kind)
  await ch.assertExchange(name, kind, options)
  defer(async () => (await channel(defer)).deleteExchange(name))
  return name
}

const put = (ch, name, bodies, options) => bodies.map(body => ch.sendToQueue(name, Buffer.from(body), options))

async function take (ch, name, count, options = { noAck: true }) {
  const taken = []
  const end = Date.now() + 20_000
  while (taken.length < count) {
    const message = await ch.get(name, options)
    if (message) taken.push(message)
    else {
      check(Date.now() < end, `${taken.length} of ${count} messages`)
      await sleep(20)
    }
  }
  return taken
}

async function consume (ch, name, options = {}) {
  const messages = []
  const { consumerTag } = await ch.consume(name, message => messages.push(message), options)
  return { messages, consumerTag }
}

const text = messages => messages.map(message => message.content.toString())
const depth = async (ch, name) => (await ch.checkQueue(name)).messageCount

/** Fails unless the call is refused with that code, which ends the channel or the connection. */
async function refused (call, code) {
  try {
    await call()
  } catch (error) {
    const told = `${error.code} ${error.message}`
    check(told.includes(`${code}`), `refused otherwise: ${told}`)
    return
  }
  throw new Error(`not refused with ${code}`)
}

await run(version, {
  'server-properties': async defer => {
    const { serverProperties } = (await connect(defer)).connection
    equal(serverProperties.product, 'RabbitMQ')
    check(serverProperties.capabilities['basic.nack'], 'basic.nack')
  },
  'wrong-password': async defer => refused(() => connect(defer, { login: 'guest:wrong' }), 403),
  'unknown-vhost': async defer => refused(() => connect(defer, { vhost: nameOf('nowhere') }), 'ConnectionClose'),
  tune: async defer => {
    for (const query of ['?heartbeat=0', '?heartbeat=5', '?frameMax=8192', '?channelMax=3', '?frameMax=0']) {
      const ch = await channel(defer, { connection: await connect(defer, { query }) })
      const name = await queue(defer, ch)
      put(ch, name, ['x'.repeat(20_000)])
      equal((await take(ch, name, 1))[0].content.length, 20_000)
    }
  },
  'update-secret': async defer => {
    const connection = await connect(defer)
    await connection.updateSecret(Buffer.from('new'), 'it was time')
    await connection.createChannel()
  },
  'heartbeats-are-sent': async defer => {
    const connection = await connect(defer, { query: '?heartbeat=1' })
    await sleep(4000)
    equal(connection.failure, undefined)
    await connection.createChannel()
  },
  'channel-errors-leave-the-connection': async defer => {
    const connection = await connect(defer)
    const ch = await channel(defer, { connection })
    await refused(() => ch.checkQueue(nameOf('missing')), 404)
    equal(ch.failure?.code, 404)
    const again = await channel(defer, { connection })
    const name = await queue(defer, again)
    put(again, name, ['x'])
    equal(text(await take(again, name, 1)), ['x'])
  },
  'many-channels': async defer => {
    const connection = await connect(defer)
    const channels = await Promise.all(numbers(120).map(() => channel(defer, { connection })))
    const name = await queue(defer, channels[0])
    channels.forEach((ch, number) => put(ch, name, [`${number}`]))
    equal(text(await take(channels[0], name, 120)).map(Number).sort((a, b) => a - b), numbers(120).map(Number))
  },
  'route-topic': async defer => {
    const ch = await channel(defer, { confirms: true })
    const [ex, name] = [await exchange(defer, ch, 'topic'), await queue(defer, ch)]
    await ch.bindQueue(name, ex, 'a.*.c')
    await ch.bindQueue(name, ex, '#.z')
    const keys = ['a.b.c', 'a.c', 'z', 'a.b.z', 'a..c', 'zz']
    keys.forEach(key => ch.publish(ex, key, Buffer.from(key)))
    await ch.waitForConfirms()
    equal(text(await take(ch, name, 4)), ['a.b.c', 'z', 'a.b.z', 'a..c'])
    equal(await depth(ch, name), 0)
  },
  'route-headers': async defer => {
    const ch = await channel(defer, { confirms: true })
    const [ex, name] = [await exchange(defer, ch, 'headers'), await queue(defer, ch)]
    await ch.bindQueue(name, ex, '', { 'x-match': 'all', float: 1.5, text: 'x' })
    ch.publish(ex, '', Buffer.from('yes'), { headers: { float: 1.5, text: 'x', more: true } })
    ch.publish(ex, '', Buffer.from('no'), { headers: { float: 1.25, text: 'x' } })
    await ch.waitForConfirms()
    equal(text(await take(ch, name, 1)), ['yes'])
    equal(await depth(ch, name), 0)
  },
  'exchange-to-exchange': async defer => {
    const ch = await channel(defer, { confirms: true })
    const [from, to] = [await exchange(defer, ch, 'direct'), await exchange(defer, ch, 'fanout')]
    const name = await queue(defer, ch)
    await ch.bindExchange(to, from, 'k')
    await ch.bindQueue(name, to, '')
    ch.publish(from, 'k', Buffer.from('through'))
    ch.publish(from, 'other', Buffer.from('not'))
    await ch.waitForConfirms()
    equal(text(await take(ch, name, 1)), ['through'])
    await ch.unbindExchange(to, from, 'k')
    ch.publish(from, 'k', Buffer.from('not'))
    await ch.waitForConfirms()
    equal(await depth(ch, name), 0)
  },
  'alternate-exchange': async defer => {
    const ch = await channel(defer, { confirms: true })
    const other = await exchange(defer, ch, 'fanout')
    const ex = await exchange(defer, ch, 'direct', { alternateExchange: other })
    const name = await queue(defer, ch)
    await ch.bindQueue(name, other, '')
    ch.publish(ex, 'nobody', Buffer.from('caught'), { mandatory: true })
    await ch.waitForConfirms()
    equal(text(await take(ch, name, 1)), ['caught'])
  },
  'exchange-rules': async defer => {
    const ch = await channel(defer)
    const name = await exchange(defer, ch, 'direct', { durable: true })
    await ch.assertExchange(name, 'direct', { durable: true })
    await ch.checkExchange(name)
    for (const [kind, options] of [['fanout', { durable: true }], ['direct', { durable: false }]]) {
      const other = await channel(defer)
      await refused(() => other.assertExchange(name, kind, options), 406)
    }
  },
  'queue-rules': async defer => {
    const ch = await channel(defer)
    const name = await queue(defer, ch, { 'x-max-length': 10 })
    await ch.assertQueue(name, { durable: true, maxLength: 10 })
    for (const options of [{ durable: false, maxLength: 10 }, { maxLength: 11 }, {}]) {
      const other = await channel(defer)
      await refused(() => other.assertQueue(name, { durable: true, ...options }), 406)
    }
  },
  'server-named': async defer => {
    const ch = await channel(defer)
    const { queue: name } = await ch.assertQueue('', { exclusive: true })
    check(name.startsWith('amq.gen-'), name)
    put(ch, name, ['x'])
    equal(text(await take(ch, name, 1)), ['x'])
  },
  'exclusive-queue': async defer => {
    const connection = await connect(defer)
    const ch = await channel(defer, { connection })
    const name = nameOf('only')
    await ch.assertQueue(name, { exclusive: true })
    const far = await channel(defer, { node: -1 })
    await refused(() => far.checkQueue(name), 405)
    await connection.close()
    await eventually(async () => {
      const other = await channel(defer, { node: -1 })
      return other.checkQueue(name).then(() => false, error => error.code === 404)
    })
  },
  'purge-and-delete': async defer => {
    const ch = await channel(defer, { confirms: true })
    const name = await queue(defer, ch)
    put(ch, name, numbers(10))
    await ch.waitForConfirms()
    equal((await ch.purgeQueue(name)).messageCount, 10)
    put(ch, name, numbers(3))
    await ch.waitForConfirms()
    equal((await ch.deleteQueue(name)).messageCount, 3)
    equal((await ch.deleteQueue(name)).messageCount, 0)
  },
  properties: async defer => {
    const [ch, far] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    const sent = {
      contentType: 'text/plain',
      contentEncoding: 'utf-8',
      deliveryMode: 2,
      priority: 5,
      correlationId: 'c',
      replyTo: 'r',
      expiration: '3600000',
      messageId: 'm',
      timestamp: 1_700_000_000,
      type: 't',
      userId: 'guest',
      appId: 'a'
    }
    put(ch, name, ['x'], sent)
    const [{ properties }] = await take(far, name, 1)
    for (const [key, value] of Object.entries(sent)) equal(properties[key], value)
  },
  'header-types': async defer => {
    const [ch, far] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    const sent = {
      text: 'é',
      yes: true,
      no: false,
      byte: 1,
      negative: -300,
      int: 70_000,
      long: -(2 ** 40),
      double: 1.1,
      float: { '!': 'float', value: 1.5 },
      none: null,
      list: [1, 'two', [null], { deep: 2.5 }],
      table: { a: { b: { c: 'd' } } },
      bytes: Buffer.from([0, 255]),
      time: { '!': 'timestamp', value: 1_700_000_000 },
      decimal: { '!': 'decimal', value: { digits: 314, places: 2 } }
    }
    put(ch, name, ['x'], { headers: sent })
    const [{ properties: { headers } }] = await take(far, name, 1)
    assert.deepStrictEqual(headers, { ...sent, float: 1.5 })
  },
  'bodies-of-all-sizes': async defer => {
    const [ch, far] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    for (const size of [0, 1, 4096 - 8, 131_064, 131_065, 1_000_000, 5_000_000]) {
      const body = Buffer.alloc(size, 'weir')
      ch.sendToQueue(name, body)
      check((await take(far, name, 1))[0].content.equals(body), `${size} bytes`)
    }
  },
  confirms: async defer => {
    const ch = await channel(defer, { confirms: true })
    const name = await queue(defer, ch)
    const confirmed = []
    for (const number of numbers(500)) {
      ch.sendToQueue(name, Buffer.from(number), { persistent: true }, error => confirmed.push(error))
    }
    await ch.waitForConfirms()
    equal(confirmed, Array(500).fill(null))
    equal(await depth(ch, name), 500)
  },
  unroutable: async defer => {
    const ch = await channel(defer, { confirms: true })
    const told = []
    ch.on('return', message => told.push(`returned ${message.fields.replyCode} ${message.content}`))
    ch.publish('amq.direct', nameOf('nobody'), Buffer.from('x'), { mandatory: true }, () => told.push('confirmed'))
    await ch.waitForConfirms()
    equal(told, ['returned 312 x', 'confirmed'])
  },
  'publish-errors': async defer => {
    for (const [to, options, code] of [[nameOf('none'), {}, 404], ['', { userId: 'somebody' }, 406]]) {
      const ch = await channel(defer)
      ch.publish(to, 'k', Buffer.from('x'), options)
      await eventually(() => ch.failure?.code === code)
    }
  },
  acknowledgement: async defer => {
    const ch = await channel(defer)
    const name = await queue(defer, ch)
    put(ch, name, numbers(10))
    const taken = await take(ch, name, 10, { noAck: false })
    ch.ack(taken[3], true)
    ch.reject(taken[4], true)
    ch.reject(taken[5], false)
    ch.nack(taken[7], true, true)
    ch.nack(taken[9], false, false)
    const back = await take(ch, name, 3, { noAck: false })
    equal(text(back), ['4', '6', '7'])
    check(back.every(message => message.fields.redelivered), 'redelivered')
    // Number 8 is still held.
    await ch.close()
    const other = await channel(defer)
    equal(text(await take(other, name, 4)), ['4', '6', '7', '8'])
    equal(await depth(other, name), 0)
  },
  'unknown-delivery-tag': async defer => {
    const ch = await channel(defer)
    ch.ack({ fields: { deliveryTag: 77 } })
    await eventually(() => ch.failure?.code === 406)
  },
  prefetch: async defer => {
    const [ch, far] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    await far.prefetch(3)
    const { messages } = await consume(far, name)
    put(ch, name, numbers(10))
    await eventually(() => messages.length === 3)
    await sleep(300)
    equal(messages.length, 3)
    far.ack(messages[1], true)
    await eventually(() => messages.length === 5)
    equal(text(messages), numbers(5))
  },
  'cancel-notification': async defer => {
    const [ch, far] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    const { messages } = await consume(far, name)
    await ch.deleteQueue(name)
    await eventually(() => messages.length === 1)
    equal(messages, [null])
  },
  'exclusive-consumer': async defer => {
    const [ch, far] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    await consume(ch, name, { exclusive: true })
    await refused(() => consume(far, name), 403)
  },
  'consumer-priority': async defer => {
    const [ch, far] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    await Promise.all([ch.prefetch(5), far.prefetch(5)])
    const low = await consume(ch, name, { priority: 1 })
    const high = await consume(far, name, { priority: 9 })
    put(ch, name, numbers(5))
    await eventually(() => high.messages.length === 5)
    equal(low.messages.length, 0)
  },
  'connection-lost-with-unacked': async defer => {
    const connection = await connect(defer)
    const [victim, ch] = [await channel(defer, { connection }), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch)
    put(ch, name, ['one', 'two'])
    await take(victim, name, 2, { noAck: false })
    connection.connection.stream.destroy()
    const again = await take(ch, name, 2)
    equal(again.map(message => [message.content.toString(), message.fields.redelivered]), [['one', true], ['two', true]])
  },
  recover: async defer => {
    const ch = await channel(defer)
    const name = await queue(defer, ch)
    put(ch, name, numbers(5))
    await take(ch, name, 3, { noAck: false })
    await ch.recover()
    equal(text(await take(ch, name, 5)), numbers(5))
  },
  'direct-reply-to': async defer => {
    const [client, server] = [await channel(defer), await channel(defer, { node: -1 })]
    const name = await queue(defer, server)
    await server.consume(name, message => {
      server.sendToQueue(message.properties.replyTo, Buffer.from('answer'), { correlationId: message.properties.correlationId })
      server.ack(message)
    })
    const answers = []
    await client.consume('amq.rabbitmq.reply-to', message => answers.push(message), { noAck: true })
    client.sendToQueue(name, Buffer.from('question'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' })
    await eventually(() => answers.length === 1)
    equal([answers[0].content.toString(), answers[0].properties.correlationId], ['answer', '7'])
  },
  'dead-letters': async defer => {
    const ch = await channel(defer)
    const grave = await queue(defer, ch)
    const name = nameOf('short')
    await ch.assertQueue(name, { messageTtl: 200, deadLetterExchange: '', deadLetterRoutingKey: grave })
    put(ch, name, ['late'])
    const [{ content, properties: { headers } }] = await take(ch, grave, 1)
    equal(content.toString(), 'late')
    const [death] = headers['x-death']
    equal([death.queue, death.reason, death.count, death['routing-keys']], [name, 'expired', 1, [name]])
    await ch.deleteQueue(name)
  },
  'max-length': async defer => {
    const ch = await channel(defer, { confirms: true })
    const name = await queue(defer, ch, { 'x-max-length': 2, 'x-overflow': 'reject-publish' })
    const verdicts = await Promise.all(numbers(4).map(number => new Promise(resolve => {
      ch.sendToQueue(name, Buffer.from(number), {}, error => resolve(error ? 'nack' : 'ack'))
    })))
    equal(verdicts, ['ack', 'ack', 'nack', 'nack'])
    equal(text(await take(ch, name, 2)), ['0', '1'])
  },
  priorities: async defer => {
    const ch = await channel(defer, { confirms: true })
    const name = nameOf('priority')
    await ch.assertQueue(name, { maxPriority: 5 })
    for (const priority of [0, 3, 5, 1]) put(ch, name, [`${priority}`], { priority })
    await ch.waitForConfirms()
    equal(text(await take(ch, name, 4)), ['5', '3', '1', '0'])
    await ch.deleteQueue(name)
  },
  'closing-behind-a-burst': async defer => {
    for (let round = 0; round < 10; round++) {
      const connection = await amqplib.connect(`amqp://guest:guest@${bootstrap.at(0)}/%2f`)
      connection.on('error', error => { connection.failure = error })
      const ch = await connection.createChannel()
      const { queue: name } = await ch.assertQueue('', { exclusive: true })
      // The channel's frames wait for their turn; the connection's own do not.
      while (ch.sendToQueue(name, Buffer.from('burst')));
      const late = sleep(10_000).then(() => 'no close-ok')
      equal(await Promise.race([connection.close().then(() => 'closed'), late]), 'closed')
      equal(connection.failure, undefined)
    }
  },
  'quorum-queue': async defer => {
    const [ch, far] = [await channel(defer, { confirms: true }), await channel(defer, { node: -1 })]
    const name = await queue(defer, ch, { 'x-queue-type': 'quorum' })
    put(ch, name, numbers(100))
    await ch.waitForConfirms()
    const { messages } = await consume(far, name)
    await eventually(() => messages.length === 100)
    equal(text(messages), numbers(100))
    far.ackAll()
  }
})
