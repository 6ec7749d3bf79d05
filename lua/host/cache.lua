--- What all workers of the process remember together: keys with values that live for a time.
--
--     local cache = require "host.cache"
--     local rates = cache.once("rates", 300, function() return http.get(URL).json() end)
--
-- Values are strings, numbers, booleans, or tables that JSON can hold; each `get` gives a table of
-- its own. The whole is bounded in bytes, and what was not used for longest is pushed out: nothing
-- may depend on a value being there. It does not outlive the process.

local core = require "host.cache_core"
local json = require "host.json"

local M = {}

--- The value of a key.
-- @param key a string
-- @return the value, or nil
function M.get(key)
    local text = core.get(key)
    return text and json.decode(text)
end

--- Keeps a value.
-- @param key a string
-- @param value anything but nil and functions; nil deletes
-- @param ttl seconds it lives (optional: until it is pushed out)
function M.set(key, value, ttl)
    if value == nil then return core.delete(key) end
    core.set(key, json.encode(value), ttl)
end

--- Forgets a key.
-- @param key a string
function M.delete(key)
    core.delete(key)
end

--- Adds to a number, in one step for all workers.
-- @param key a string
-- @param by an integer (optional, 1)
-- @param ttl seconds, if it begins now (optional); one that is there keeps its own
-- @return the new number
function M.incr(key, by, ttl)
    return core.add(key, by or 1, ttl)
end

--- The value of a key, computed once: of all messages of the process that ask for it at a time one
-- computes, the others wait, each within its own limits.time. If the one ends without a value, or
-- with an error, the next one computes.
-- @param key a string
-- @param ttl seconds the value lives (nil: until it is pushed out)
-- @param fn computes the value; may call HTTP; nil is no value
-- @return the value
-- @raise what fn raises
function M.once(key, ttl, fn)
    while true do
        local text, claim = core.claim(key)
        if text then return json.decode(text) end
        if claim then
            local claim_close <close> = claim
            local value = fn()
            if value ~= nil then core.set(key, json.encode(value), ttl) end
            return value
        end
    end
end

return M
