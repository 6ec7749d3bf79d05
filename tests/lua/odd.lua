--- Does what the event says, good or bad.

local host = require "host"
local helper = require "odd_helper"

local M = {}
local runs = 0

function M.handle(msg)
    local event = msg.json
    runs = runs + 1
    if event.sleep then
        local before = host.now()
        host.sleep(event.sleep)
        assert(host.now() - before >= event.sleep)
    end
    if event.spin then while true do helper.nothing() end end
    if event.fail then error(event.fail) end
    if event.global then some_global = 1 end -- luacheck: ignore
    if event.tell == "runs" then return host.reject(tostring(runs)) end
    if event.tell then return host.reject(tostring(msg[event.tell])) end
end

return M
