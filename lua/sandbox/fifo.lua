--- What a FIFO queue knows beside its messages: groups, deduplication ids, receive attempts.
--
-- A group is locked while one of its messages is leased. `open` has the groups whose first message
-- may be received, the longest waiting first. Times are milliseconds of the queue's clock.

local List = require "sandbox.list"

local WINDOW_MS = 300000 -- of deduplication ids and of attempt ids

local Fifo = {}
Fifo.__index = Fifo

--- Of a queue without messages.
-- @param now() ms
function Fifo.new(now)
    return setmetatable({ now = now, groups = {}, open = List.new("open"), sequence = 0,
        known = {}, known_by_age = List.new("known"), attempts = {},
        attempts_by_age = List.new("attempt") }, Fifo)
end

-- ---- groups ---------------------------------------------------------------------------------

--- Looks again at whether something of a group may be received.
function Fifo:review(group)
    local first = group.messages.first
    self.open:remove(group)
    if not first then
        self.groups[group.name] = nil
    elseif group.leased == 0 and first.state == "ready" then
        self.open:append(group)
    end
end

--- Puts a message behind those of its group. Review the group once it has a state.
function Fifo:join(message)
    local group = self.groups[message.group]
    if not group then
        group = { name = message.group, messages = List.new("group"), leased = 0 }
        self.groups[message.group] = group
    end
    message.in_group = group
    group.messages:append(message)
end

--- Takes a message that has no state any more out of its group.
function Fifo:leave(message)
    local group = message.in_group
    group.messages:remove(message)
    message.in_group = nil
    self:review(group)
end

--- Calls `take(message)` for messages that may be received, as many of one group as there are, in
-- order, then of the next, until it has returned true `max` times.
function Fifo:each(max, take)
    local taken = 0
    while taken < max and self.open.first do
        local list = self.open.first.messages
        local message = list.first
        while message and message.state == "ready" and taken < max do
            local after = message[list.next]
            if take(message) then taken = taken + 1 end
            message = after
        end
    end
end

-- ---- ids that are known for five minutes -----------------------------------------------------

local function forget_old(self, by_id, by_age)
    local limit = self.now() - WINDOW_MS
    while by_age.first and by_age.first.at <= limit do by_id[by_age:pop().id] = nil end
end

local function remember(self, by_id, by_age, entry)
    if by_id[entry.id] then by_age:remove(by_id[entry.id]) end
    entry.at = self.now()
    by_id[entry.id] = entry
    by_age:append(entry)
end

--- The message that was sent with a deduplication id in the last five minutes, deleted or not.
function Fifo:sent_with(id)
    forget_old(self, self.known, self.known_by_age)
    return self.known[id] and self.known[id].message
end

--- Takes note of a message that is sent, and numbers it.
function Fifo:sends(message)
    self.sequence = self.sequence + 1
    message.sequence = ("1887%016d"):format(self.sequence)
    remember(self, self.known, self.known_by_age, { id = message.dedupe_id, message = message })
end

--- Takes note of what a receive with an attempt id has got.
function Fifo:received(id, messages)
    local entry = { id = id, messages = messages, touched = {}, receives = {} }
    for i, message in ipairs(messages) do
        entry.touched[i], entry.receives[i] = message.touched, message.receives
    end
    remember(self, self.attempts, self.attempts_by_age, entry)
end

--- What an earlier receive with this attempt id has got, if that can be given out once more.
-- @return the messages; nil: receive anew; or false: one was deleted or its visibility changed
function Fifo:attempt(id)
    forget_old(self, self.attempts, self.attempts_by_age)
    local entry = self.attempts[id]
    if not entry then return nil end
    local held = true
    for i, message in ipairs(entry.messages) do
        if not message.in_group or message.touched ~= entry.touched[i] then return false end
        held = held and message.state == "leased" and message.receives == entry.receives[i]
    end
    return held and entry.messages or nil
end

return Fifo
