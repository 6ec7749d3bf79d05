--- The host itself: outcomes, errors, time, settings. A handler is a Lua file that returns a table
-- with a function `handle(msg)`, and with `init()` and `selftest()` if it has them. It returns
-- nothing, nil or true for a message that is done; host.retry or host.reject for one that is not.
-- An error that it raises retries the message, one with retryable = false rejects it.
--
--     local host = require "host"
--     local M = {}
--     function M.handle(msg)
--         if not msg.json.user then return host.reject "no user" end
--     end
--     return M

local M = {}

--- A message. Its fields are made when they are first read; none can be assigned.
-- @class host.msg
-- @field id a string: the message's id
-- @field body a string: the event's text
-- @field json the event, decoded when it is first read; one that is no JSON rejects the message
-- @field attributes a table: message attributes, name → string, number or bytes
-- @field system a table: SQS's own attributes, name → string
-- @field receive_count an integer: how often SQS has handed it out
-- @field attempt an integer: receives and runs again here
-- @field sent_at a number or nil: when it was sent, seconds since 1970
-- @field age a number or nil: seconds since it was sent
-- @field group a string or nil: the message group of a FIFO queue
-- @field queue a string: the queue's name
-- @field envelope a table or nil: what was around the event; see queue.envelope
-- @field trace a string or nil: the W3C traceparent
-- @field generation an integer: the version of the handler that runs
local Message = {}

--- How long this run may still take.
-- @return a number: seconds
function Message:deadline() end

--- More time than limits.time; the lease looks after itself.
-- @param seconds a number, 0 or more
function Message:extend(seconds) end

--- The outcome "later": to be returned by the handler.
-- @param options a table (optional): after (seconds, within what SQS allows), reason
-- @return an outcome
function M.retry(options) end

--- The outcome "never": the message goes to the dead-letter queue. To be returned by the handler.
-- @param reason a string: why
-- @return an outcome
function M.reject(reason) end

--- Raises a typed error. Fields that are not named here are kept.
-- @param fields a table: kind, message, retryable (false: the message is rejected), after
--   (seconds); or a text
-- @raise always
function M.error(fields) end

--- Waits; other messages run meanwhile.
-- @param seconds a number, 0 or more
function M.sleep(seconds) end

--- The time.
-- @return a number: seconds since 1970, with a fraction
function M.now() end

--- A random UUID.
-- @return a string
function M.uuid() end

--- An environment variable that the configuration lists: handler = { env = { "NAME" } }.
-- @param name a string
-- @return a string or nil
-- @raise if it is not listed
function M.env(name) end

--- Where the code is now, without the host's own frames.
-- @return a string
function M.traceback() end

--- The configuration's block `handler`, read-only.
-- @type table
M.config = {}

--- This program's version.
-- @type string
M.version = ""

return M
