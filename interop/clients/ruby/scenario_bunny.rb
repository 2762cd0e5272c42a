# The cases of interop/clients/CASES-AMQP.md with Bunny. ADDRESSES; one JSON object a line, as interop/src/suites/lines.rs reads it.

require "bunny"
require "json"
require "securerandom"
require "timeout"

ADDRESSES = ARGV[0].split(",")
ONLY = ENV.fetch("CASE", "")
CASE_SECONDS = 60
CASES = {}

class Skip < StandardError; end

def example(name, &body)
  CASES[name] = body
end

def name_of(text)
  "#{text}-#{SecureRandom.hex(4)}"
end

def connect(node = 0, **more)
  host, port = ADDRESSES[node].split(":")
  options = { host: host, port: port.to_i, recover_from_connection_close: false, log_level: Logger::FATAL }
  connection = Bunny.new(**options, continuation_timeout: 15_000, **more)
  connection.start
end

def with_channels(count = 1)
  connections = Array.new(count) { |at| connect(at.zero? ? 0 : -1) }
  yield(*connections.map(&:create_channel))
ensure
  connections&.each { |connection| connection.close if connection.open? }
end

def with_queue(channel, **options)
  queue = channel.queue(name_of("bunny"), durable: true, **options)
  yield queue
ensure
  with_channels { |cleaning| cleaning.queue_delete(queue.name) } if queue
end

def equal(found, expected)
  raise "#{found.inspect} instead of #{expected.inspect}" unless found == expected
end

def eventually(what)
  finish = Time.now + 20
  until yield
    raise "not within 20 s: #{what}" if Time.now > finish

    sleep 0.05
  end
end

def take(queue, count, **options)
  taken = []
  eventually("#{count} messages") do
    info, properties, body = queue.pop(**options)
    taken << [info, properties, body] if info
    taken.size == count
  end
  taken
end

def bodies(taken)
  taken.map(&:last)
end

def refused(code)
  yield
rescue Bunny::ChannelLevelException, Bunny::ConnectionLevelException => e
  told = e.respond_to?(:channel_close) && e.channel_close ? e.channel_close.reply_code : e.connection_close.reply_code
  equal(told, code)
else
  raise "not refused with #{code}"
end

example("publish-and-get") do
  with_channels(2) do |near, far|
    with_queue(near) do |queue|
      queue.publish("one")
      queue.publish("two", message_id: "m", headers: { "n" => 1, "f" => 1.5, "t" => { "deep" => ["x", 2] } })
      there = far.queue(queue.name, durable: true, passive: true)
      (first, _, body), (_, second, _) = take(there, 2)
      equal([first.routing_key, first.exchange, body], [queue.name, "", "one"])
      equal(second[:message_id], "m")
      equal(second[:headers], { "n" => 1, "f" => 1.5, "t" => { "deep" => ["x", 2] } })
    end
  end
end

example("confirms") do
  with_channels do |channel|
    channel.confirm_select
    with_queue(channel) do |queue|
      300.times { |number| queue.publish(number.to_s, persistent: true) }
      equal(channel.wait_for_confirms, true)
      equal(queue.message_count, 300)
    end
  end
end

example("refused-publishes") do
  with_channels do |channel|
    channel.confirm_select
    with_queue(channel, arguments: { "x-max-length" => 1, "x-overflow" => "reject-publish" }) do |queue|
      3.times { queue.publish("x") }
      equal(channel.wait_for_confirms, false)
      equal(channel.nacked_set.size, 2)
    end
  end
end

example("returns") do
  with_channels do |channel|
    returned = Queue.new
    exchange = channel.default_exchange
    exchange.on_return { |info, _, body| returned << [info.reply_code, body] }
    exchange.publish("back", routing_key: name_of("nobody"), mandatory: true)
    equal(Timeout.timeout(15) { returned.pop }, [312, "back"])
  end
end

example("consumers") do
  with_channels(2) do |near, far|
    with_queue(near) do |queue|
      far.prefetch(5)
      received = Queue.new
      there = far.queue(queue.name, durable: true)
      consumer = there.subscribe(manual_ack: true) do |info, _, body|
        received << body
        far.ack(info.delivery_tag)
      end
      100.times { |number| queue.publish(number.to_s) }
      equal(Timeout.timeout(20) { Array.new(100) { received.pop } }, Array.new(100, &:to_s))
      consumer.cancel
      queue.publish("left")
      equal(bodies(take(queue, 1)), ["left"])
    end
  end
end

example("prefetch") do
  with_channels(2) do |near, far|
    with_queue(near) do |queue|
      far.prefetch(3)
      received = Queue.new
      far.queue(queue.name, durable: true).subscribe(manual_ack: true) { |info, _, body| received << [info, body] }
      6.times { |number| queue.publish(number.to_s) }
      eventually("three") { received.size == 3 }
      sleep 0.4
      equal(received.size, 3)
      far.ack(received.pop.first.delivery_tag)
      eventually("one more") { received.size == 3 }
    end
  end
end

example("nack-and-reject") do
  with_channels do |channel|
    with_queue(channel) do |queue|
      %w[a b c].each { |body| queue.publish(body) }
      taken = take(queue, 3, manual_ack: true)
      channel.reject(taken[0][0].delivery_tag, true)
      channel.nack(taken[2][0].delivery_tag, false, false)
      channel.nack(taken[1][0].delivery_tag, false, true)
      again = take(queue, 2)
      equal(bodies(again), %w[a b])
      equal(again.map { |info, _, _| info.redelivered? }, [true, true])
    end
  end
end

example("exchanges") do
  with_channels do |channel|
    topic = channel.topic(name_of("bunny-topic"), auto_delete: true)
    fanout = channel.fanout(name_of("bunny-fanout"), auto_delete: true)
    headers = channel.headers(name_of("bunny-headers"), auto_delete: true)
    with_queue(channel) do |queue|
      fanout.bind(topic, routing_key: "a.#")
      queue.bind(fanout)
      queue.bind(headers, arguments: { "x-match" => "any", "kind" => "x" })
      topic.publish("by topic", routing_key: "a.b")
      topic.publish("not", routing_key: "b")
      headers.publish("by header", headers: { "kind" => "x" })
      equal(bodies(take(queue, 2)), ["by topic", "by header"])
      equal(queue.message_count, 0)
    end
  end
end

example("rules") do
  with_channels do |channel|
    with_queue(channel) do |queue|
      refused(406) { channel.connection.create_channel.queue(queue.name, durable: false) }
      refused(404) { channel.connection.create_channel.queue(name_of("none"), passive: true) }
      refused(403) { channel.connection.create_channel.queue("amq.mine") }
      exchange = channel.direct(name_of("bunny-direct"))
      refused(406) { channel.connection.create_channel.fanout(exchange.name) }
      exchange.delete
    end
  end
end

example("exclusive-queue") do
  with_channels(2) do |near, far|
    queue = near.queue("", exclusive: true)
    raise queue.name unless queue.name.start_with?("amq.gen-")

    refused(405) { far.connection.create_channel.queue(queue.name, passive: true) }
    near.connection.close
    eventually("it is gone") do
      !far.connection.queue_exists?(queue.name)
    rescue Bunny::ResourceLocked
      false
    end
  end
end

example("cancel-notification") do
  with_channels(2) do |near, far|
    with_queue(near) do |queue|
      cancelled = Queue.new
      there = far.queue(queue.name, durable: true)
      consumer = Bunny::Consumer.new(far, there, "mine")
      consumer.on_cancellation { |method| cancelled << method.consumer_tag }
      there.subscribe_with(consumer)
      queue.delete
      equal(Timeout.timeout(15) { cancelled.pop }, "mine")
    end
  end
end

example("dead-letters") do
  with_channels do |channel|
    with_queue(channel) do |grave|
      arguments = { "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => grave.name, "x-message-ttl" => 100 }
      with_queue(channel, arguments: arguments) do |queue|
        queue.publish("late")
        _, properties, body = take(grave, 1).first
        equal(body, "late")
        death = properties[:headers]["x-death"].first
        equal(death.values_at("queue", "reason", "count"), [queue.name, "expired", 1])
      end
    end
  end
end

example("transactions") do
  with_channels do |channel|
    with_queue(channel) do |queue|
      channel.tx_select
      queue.publish("dropped")
      channel.tx_rollback
      queue.publish("kept")
      channel.tx_commit
      equal(bodies(take(queue, 1)), ["kept"])
      equal(queue.message_count, 0)
    end
  end
end

example("update-secret") do
  with_channels do |channel|
    channel.connection.update_secret("new", "it was time")
    equal(channel.connection.open?, true)
  end
end

example("queue-types") do
  with_channels(2) do |near, far|
    %w[classic quorum].each do |type|
      with_queue(near, arguments: { "x-queue-type" => type }) do |queue|
        20.times { |number| queue.publish(number.to_s) }
        there = far.queue(queue.name, durable: true, passive: true)
        equal(bodies(take(there, 20)), Array.new(20, &:to_s))
      end
    end
  end
end

example("wrong-password") do
  begin
    connect(0, pass: "wrong")
  rescue Bunny::AuthenticationFailureError, Bunny::PossibleAuthenticationFailureError
    next
  end
  raise "it let us in"
end

def tell(line)
  puts JSON.generate(line)
  $stdout.flush
end

tell(version: Bunny::VERSION)
CASES.each do |name, body|
  next unless name.include?(ONLY)

  begin
    Timeout.timeout(CASE_SECONDS, &body)
    tell(case: name, ending: "passed")
  rescue Skip => e
    tell(case: name, ending: "skipped", detail: e.message)
  rescue StandardError, Timeout::Error => e
    at = e.backtrace&.find { |line| line.include?("scenario_bunny") }
    tell(case: name, ending: "failed", detail: "#{e.class}: #{e.message} at #{at}"[0, 800])
  end
end
exit!(0)
