--- One queue: its messages, who holds them until when, and who waits for some. A FIFO queue has
-- an order beside that: fifo.lua.
--
-- A message is in one of three states: "ready" (a receive may have it), "delayed" and "leased"
-- (in flight; both wait in the timers for their time). Every operation is O(1) or O(log n).
--
-- Times are milliseconds of the given clock; seconds where a name ends in _s.

local crypto = require "host.crypto"
local Fifo = require "sandbox.fifo"
local List = require "sandbox.list"

local IN_FLIGHT_MAX = 120000
local LEASE_MAX_S = 43200

local Queue = { LEASE_MAX_S = LEASE_MAX_S }
Queue.__index = Queue

--- A queue.
-- @param options name, attributes (numbers by name), fifo (it is one), redrive (nil, or {target
--   (a queue's name), max}), find(name) (a queue or nil), timers (a heap that calls item:fire() at
--   item.due), now() and wall() (ms), uuid()
function Queue.new(options)
    local self = setmetatable({
        name = options.name, attributes = options.attributes, timers = options.timers,
        redrive = options.redrive, find = options.find,
        now = options.now, wall = options.wall, uuid = options.uuid,
        created_s = options.wall() // 1000, modified_s = options.wall() // 1000,
        ready = List.new("ready"), by_age = List.new("age"), waiters = List.new("wait"),
        again = List.new("again"), -- leased ones that the next receives get as well
        messages = {}, -- number → message
        fifo = options.fifo and Fifo.new(options.now) or nil,
        sent = 0, leased = 0, delayed = 0, key = crypto.random(32),
    }, Queue)
    self.expiry = { fire = function() self:expire() end }
    return self
end

-- ---- receipt handles ------------------------------------------------------------------------
-- A handle says which message it was and which of its receives, sealed, so that handles of
-- deleted messages are still known as ours and made-up ones are not.

local function seal(self, words)
    return crypto.hmac_sha256(self.key, words)
end

--- The handle of a message's newest receive.
function Queue:handle_of(message)
    local words = ("<I8I4"):pack(message.number, message.receives)
    return crypto.base64(words .. seal(self, words))
end

--- What a handle stands for.
-- @return nil if it is none of this queue's; else true, the message (nil: deleted) and whether
--   the handle is the newest one
function Queue:resolve(handle)
    local bytes = crypto.unbase64(handle)
    if not bytes or #bytes ~= 44 then return nil end
    local words = bytes:sub(1, 12)
    if seal(self, words) ~= bytes:sub(13) then return nil end
    local number, receives = ("<I8I4"):unpack(words)
    local message = self.messages[number]
    return true, message, message ~= nil and message.receives == receives
end

-- ---- states ---------------------------------------------------------------------------------

local function count_leased(self, message, n)
    local group = self.fifo and message.state == "leased" and message.in_group
    if group then group.leased = group.leased + n end
end

local function leave(self, message)
    count_leased(self, message, -1)
    if message.state == "ready" then
        self.ready:remove(message)
    else
        self.again:remove(message)
        self.timers:remove(message)
        self[message.state] = self[message.state] - 1
    end
end

local function make_ready(self, message)
    message.state = "ready"
    self.ready:append(message)
    if self.fifo then self.fifo:review(message.in_group) end
end

local function make_wait(self, message, state, due)
    message.state, message.due = state, due
    self[state] = self[state] + 1
    self.timers:add(message)
    count_leased(self, message, 1)
    if self.fifo then self.fifo:review(message.in_group) end
end

local function forget(self, message)
    leave(self, message)
    self.by_age:remove(message)
    self.messages[message.number] = nil
    if self.fifo then
        message.state = nil
        self.fifo:leave(message)
    end
end

local function retention_ms(self)
    return self.attributes.MessageRetentionPeriod * 1000
end

--- Drops what is older than the retention period, and sets the time to look again.
function Queue:expire()
    local limit = self.now() - retention_ms(self)
    while self.by_age.first and self.by_age.first.sent_at <= limit do
        forget(self, self.by_age.first)
    end
    self.timers:remove(self.expiry)
    if self.by_age.first then
        self.expiry.due = self.by_age.first.sent_at + retention_ms(self)
        self.timers:add(self.expiry)
    end
end

-- The timer of a delayed or leased message.
local function become_ready(message)
    local self = message.queue
    leave(self, message)
    make_ready(self, message)
    self:wake()
end

-- ---- operations -----------------------------------------------------------------------------

local function admit(self, message, delay_s)
    self.sent = self.sent + 1
    message.number, message.queue, message.tries = self.sent, self, 0
    self.messages[message.number] = message
    self.by_age:insert(message, "sent_at")
    if self.fifo then self.fifo:join(message) end
    if delay_s > 0 then
        make_wait(self, message, "delayed", message.sent_at + delay_s * 1000)
    else
        make_ready(self, message)
    end
    if self.by_age.first == message then self:expire() end
end

--- Takes a message in. Call wake() after the last one of a batch.
-- @param message a table with the body and what else belongs to it
-- @param delay_s seconds until it may be received
function Queue:send(message, delay_s)
    message.id, message.receives, message.fire = self.uuid(), 0, become_ready
    message.sent_at, message.sent_wall, message.touched = self.now(), self.wall(), 0
    if self.fifo then self.fifo:sends(message) end
    admit(self, message, delay_s)
end

--- Whether AWS would refuse a receive because too much is in flight.
function Queue:is_full()
    return self.leased >= IN_FLIGHT_MAX
end

-- What was received too often goes to the dead-letter queue as it is, age and number of receives
-- included.
local function redriven(self, message, moved)
    local policy = self.redrive
    local target = policy and message.tries >= policy.max and self.find(policy.target)
    if not target then return false end
    forget(self, message)
    message.source = self.name
    admit(target, message, 0)
    moved[target] = true
    return true
end

-- The first message of a standard queue that may be received; it is in no state.
local function next_ready(self, moved)
    local held = self.again:pop()
    if held then
        leave(self, held)
        held.second = true
        return held
    end
    while true do
        local message = self.ready.first
        if not message then return nil end
        if not redriven(self, message, moved) then
            leave(self, message)
            message.second = false
            return message
        end
    end
end

local function lease(self, message, visibility_s)
    message.receives, message.tries = message.receives + 1, message.tries + 1
    message.leased_at = self.now()
    message.first_wall = message.first_wall or self.wall()
    make_wait(self, message, "leased", message.leased_at + visibility_s * 1000)
end

--- Leases what is ready.
-- @param max messages at most
-- @param visibility_s length of the lease
-- @return a list, maybe empty
function Queue:take(max, visibility_s)
    local taken, moved = {}, {}
    max = math.min(max, IN_FLIGHT_MAX - self.leased)
    local function take(message)
        lease(self, message, visibility_s)
        taken[#taken + 1] = message
    end
    if self.fifo then
        self.fifo:each(max, function(message)
            if redriven(self, message, moved) then return false end
            leave(self, message)
            take(message)
            return true
        end)
    end
    while not self.fifo and #taken < max do
        local message = next_ready(self, moved)
        if not message then break end
        take(message)
    end
    for target in pairs(moved) do target:wake() end
    return taken
end

--- Waits for messages.
-- @param waiter max, visibility_s, till (ms of the clock), here() (the client is still there),
--   answer(messages) (called once, with an empty list when its time is up)
function Queue:wait(waiter)
    waiter.due = waiter.till
    waiter.fire = function()
        self:stop_waiting(waiter)
        waiter.answer {}
    end
    self.waiters:append(waiter)
    self.timers:add(waiter)
end

--- Forgets a waiter; nothing happens if it does not wait.
function Queue:stop_waiting(waiter)
    self.waiters:remove(waiter)
    self.timers:remove(waiter)
end

--- Hands the messages of an earlier receive out again, their leases begun anew (FIFO).
function Queue:take_again(messages, visibility_s)
    for _, message in ipairs(messages) do
        leave(self, message)
        make_wait(self, message, "leased", self.now() + visibility_s * 1000)
    end
end

local function has_some(self)
    if self.fifo then return self.fifo.open.count > 0 end
    return self.ready.count > 0 or self.again.count > 0
end

--- Gives ready messages to those who wait. A client that has left gets none: they would be
-- hidden for a whole lease and have cost a receive.
function Queue:wake()
    while self.waiters.count > 0 and not self:is_full() and has_some(self) do
        local waiter = self.waiters.first
        self:stop_waiting(waiter)
        if waiter.here() then
            local taken = self:take(waiter.max, waiter.visibility_s)
            -- None: all that was ready has moved to the dead-letter queue.
            if #taken > 0 then waiter.answer(taken) else self:wait(waiter) end
        end
    end
end

--- Which of the messages that take returned can be delivered a second time. A second delivery
-- is not repeated, else two receivers would hand a message to and fro for ever.
function Queue.repeatable(taken)
    local list = {}
    for _, message in ipairs(taken) do
        if message.state == "leased" and not message.second then list[#list + 1] = message end
    end
    return list
end

--- Delivers leased messages a second time, to the next receives.
-- @param list what repeatable returned
function Queue:deliver_again(list)
    for _, message in ipairs(list) do self.again:append(message) end
    self:wake()
end

--- Deletes for good, in whatever state the message is.
function Queue:delete(message)
    forget(self, message)
    if self.fifo then self:wake() end -- its group may be open now
end

--- Sets the rest of a lease.
-- @return true; or nil and "not in flight" or "too long" (12 hours from the receive)
function Queue:change(message, visibility_s)
    if message.state ~= "leased" then return nil, "not in flight" end
    local due = self.now() + visibility_s * 1000
    if due - message.leased_at > LEASE_MAX_S * 1000 then return nil, "too long" end
    message.touched = message.touched + 1
    leave(self, message)
    if visibility_s == 0 then
        make_ready(self, message)
        self:wake()
    else
        make_wait(self, message, "leased", due)
    end
    return true
end

--- Deletes all messages.
function Queue:purge()
    while self.by_age.first do forget(self, self.by_age.first) end
end

--- The queue is deleted: its timers stop.
-- @param told called with each waiter
function Queue:close(told)
    self:purge()
    self.timers:remove(self.expiry)
    for waiter in function() return self.waiters.first end do
        self:stop_waiting(waiter)
        told(waiter)
    end
end

return Queue
