--- Uses host.cache as the event says.

local cache = require "host.cache"
local host = require "host"
local json = require "host.json"

local M = {}

local deeds = {
    set = function(e) cache.set(e.key, e.value, e.ttl) end,
    get = function(e) return cache.get(e.key) end,
    delete = function(e) cache.delete(e.key) end,
    incr = function(e) return cache.incr(e.key, e.by, e.ttl) end,
    once = function(e)
        return cache.once(e.key, e.ttl, function()
            cache.incr("computed")
            if e.fail then error(e.fail) end
            return e.value
        end)
    end,
    nested = function(e)
        return cache.once(e.key, nil, function() return cache.once(e.key, nil, function() end) end)
    end,
    wait = function(e) host.sleep(e.seconds) end,
    value_is_own = function(e)
        cache.set(e.key, { list = { 1 } })
        cache.get(e.key).list[1] = 2
        return cache.get(e.key)
    end,
}

function M.handle(msg)
    local result = {}
    for i, e in ipairs(msg.json) do
        local ok, value = pcall(deeds[e.deed], e)
        result[i] = ok and { value = value } or { words = tostring(value) }
    end
    return host.reject(json.encode(result))
end

return M
