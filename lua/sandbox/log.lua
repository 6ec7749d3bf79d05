--- What the stand-in servers executed, the newest of it.

local core = require "sandbox.core"

local M = {}
M.__index = M

local KEPT = 20000

--- An empty log.
function M.new()
    return setmetatable({ entries = {}, count = 0 }, M)
end

-- The ids in an answer of SQS, or of the user that Keycloak made.
local function ids_of(result, headers)
    local ids = {}
    if result then
        ids[1] = result.MessageId
        for _, name in ipairs { "Messages", "Successful" } do
            for _, item in ipairs(result[name] or {}) do ids[#ids + 1] = item.MessageId end
        end
    elseif headers and headers.location then
        ids[1] = headers.location:match("[^/]+$")
    end
    return #ids > 0 and ids or nil
end

--- Writes a request down that is executed now; its status follows with its answer.
-- @param req with its `operation`; SQS's answer leaves its `result` there
function M:add(server, req)
    self.count = self.count + 1
    local entry = { n = self.count, time_ms = core.wall(), server = server,
        operation = req.operation }
    self.entries[(self.count - 1) % KEPT + 1] = entry
    local reply = req.reply
    req.reply = function(r, status, headers, body)
        entry.status, entry.ids = status, ids_of(r.result, headers)
        return reply(r, status, headers, body)
    end
end

--- Entries in the order of their numbers.
-- @param after a number; those up to it are left out
function M:after(after)
    local list = {}
    for n = math.max(after, self.count - KEPT) + 1, self.count do
        list[#list + 1] = self.entries[(n - 1) % KEPT + 1]
    end
    return list
end

return M
