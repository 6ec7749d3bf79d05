--- Faults that were switched on: which of them hit a request, and what they do to it.
--
-- A fault that concerns the whole request (a cut, a delay, an answer of its own, …) is applied
-- here, around the server that knows nothing of it. Those inside an operation (a batch's entries,
-- a second delivery, a token's life) are asked for there, by `fire`.

local core = require "sandbox.core"
local json = require "host.json"
local keycloak_answer = require "sandbox.keycloak_answer"
local spec = require "sandbox.fault_spec"
local sqs_error = require "sandbox.sqs_error"

local M = {}
M.__index = M

--- No faults.
-- @param timers a heap that calls item:fire() at item.due
function M.new(timers)
    return setmetatable({ on = {}, made = 0, timers = timers }, M)
end

-- ---- which ----------------------------------------------------------------------------------

-- From 0 to 1, of the fault's own sequence (splitmix64): other faults do not disturb it.
local function draw(fault)
    fault.random = fault.random + 0x9E3779B97F4A7C15
    local z = fault.random
    z = (z ~ z >> 30) * 0xBF58476D1CE4E5B9
    z = (z ~ z >> 27) * 0x94D049BB133111EB
    return ((z ~ z >> 31) >> 11) * 2.0 ^ -53
end

local function hits(fault, server, operation)
    local s = fault.spec
    if s.times and fault.hits >= s.times or s.server and s.server ~= server
        or fault.pattern and not operation:find(fault.pattern) then
        return false
    end
    fault.seen = fault.seen + 1
    if s.probability and draw(fault) >= s.probability then return false end
    fault.hits = fault.hits + 1
    return true
end

--- Asks whether a fault of one kind hits now, and counts that.
-- @param kind its name
-- @param server "sqs" or "keycloak"
-- @param operation "ReceiveMessage" or "POST /realms/…"
-- @return the first such fault's fields, or nil
function M:fire(kind, server, operation)
    for _, fault in ipairs(self.on) do
        if fault.spec.fault == kind and hits(fault, server, operation) then return fault.spec end
    end
    return nil
end

-- ---- what -----------------------------------------------------------------------------------

local function copy_headers(given)
    local headers = {}
    for name, value in pairs(given or {}) do headers[name] = value end
    return headers
end

local function own_answer(fault)
    local headers, body = copy_headers(fault.headers), fault.body
    if type(body) == "table" then body = json.encode(body) end
    body = body or ("the sandbox was told to answer %d\n"):format(fault.status)
    headers["Content-Type"] = headers["Content-Type"]
        or body:find("^%s*[{%[]") and "application/json" or "text/plain"
    headers["Retry-After"] = headers["Retry-After"] or fault.retry_after
        and tostring(fault.retry_after)
    return fault.status, headers, body
end

local function throttled(fault, server)
    local status, headers, body
    if server == "sqs" then
        status, headers, body = sqs_error.answer { code = "RequestThrottled",
            text = "The request was denied due to request throttling." }
        headers["Content-Type"] = "application/x-amz-json-1.0"
    else
        status, headers, body = keycloak_answer.problem(429, "Too Many Requests")
    end
    headers["Retry-After"] = fault.retry_after and tostring(fault.retry_after)
    return status, headers, body
end

local ENDS = { answer = true, throttle = true, cut = true, truncate = true }

-- What the faults that are on do to this request: delays and skews add up, of those that end it
-- the first one counts. nil: nothing.
local function plan_of(self, server, operation)
    local plan
    for _, fault in ipairs(self.on) do
        local s = fault.spec
        local kind = s.fault
        local wanted = kind == "delay" or kind == "clock_skew" or kind == "revoke_tokens"
            or ENDS[kind] and not (plan and plan.ends)
        if wanted and hits(fault, server, operation) then
            plan = plan or { before = 0, after = 0 }
            if kind == "delay" then
                plan[s.when] = plan[s.when] + s.ms
            elseif kind == "clock_skew" then
                plan.skew_s = (plan.skew_s or 0) + s.seconds
            elseif kind == "revoke_tokens" then
                plan.revoke = true
            else
                plan.ends = s
            end
        end
    end
    return plan
end

local function later(self, ms, run)
    if ms == 0 then return run() end
    self.timers:add { due = core.now() + ms, fire = function(item)
        self.timers:remove(item)
        run()
    end }
end

-- Instead of the server's own answer, which is none if the request was not executed.
local function finish(plan, server, req, reply, status, headers, body)
    local ends = plan.ends
    local kind, sent = ends and ends.fault, nil
    if kind == "cut" or kind == "truncate" and body == "" then return req:cut() end
    if kind == "answer" then
        status, headers, body = own_answer(ends)
    elseif kind == "throttle" then
        status, headers, body = throttled(ends, server)
    elseif kind == "truncate" then
        sent = math.min(ends.bytes or #body // 2, #body - 1)
    end
    if plan.skew_s then
        headers = copy_headers(headers)
        headers.Date = os.date("!%a, %d %b %Y %H:%M:%S GMT", core.wall() // 1000 + plan.skew_s)
    end
    return reply(req, status, headers, body, sent)
end

--- Lets a server answer a request, with the faults that hit it.
-- @param server "sqs" or "keycloak"
-- @param req the request, with its `operation`; gets `skew_s` if the server's clock is off
-- @param run executes it: calls req:reply, now or later
-- @param revoke makes all tokens invalid
function M:serve(server, req, run, revoke)
    local plan = plan_of(self, server, req.operation)
    if not plan then return run(req) end
    local reply, ends = req.reply, plan.ends
    if plan.revoke then revoke() end
    req.skew_s = plan.skew_s
    req.reply = function(_, status, headers, body)
        later(self, plan.after, function()
            finish(plan, server, req, reply, status, headers, body or "")
        end)
    end
    later(self, plan.before, function()
        if ends and (ends.when == "before" or ends.fault == "throttle") then
            return later(self, plan.after, function() finish(plan, server, req, reply) end)
        end
        run(req)
    end)
end

-- ---- switching ------------------------------------------------------------------------------

local function show(fault)
    local shown = { id = fault.id, hits = fault.hits, seen = fault.seen }
    for name, value in pairs(fault.spec) do shown[name] = value end
    return shown
end

--- Switches faults on, all or none.
-- @param given one as decoded from JSON, or a list of them
-- @return a list of what is on now because of it; or nil and words about what is wrong
function M:add(given)
    local list = type(given) == "table" and #given > 0 and given or { given }
    local read, shown = {}, {}
    for i, one in ipairs(list) do
        local fields, pattern, wrong = spec.read(one)
        if not fields then return nil, #list > 1 and ("fault %d: %s"):format(i, wrong) or wrong end
        read[i] = { spec = fields, pattern = pattern, random = fields.seed, hits = 0, seen = 0 }
    end
    for i, fault in ipairs(read) do
        self.made = self.made + 1
        fault.id = self.made
        self.on[#self.on + 1] = fault
        shown[i] = show(fault)
    end
    return shown
end

--- All that are on: their fields, and id, hits, seen (requests that they might have hit).
function M:list()
    local shown = {}
    for i, fault in ipairs(self.on) do shown[i] = show(fault) end
    return shown
end

--- Switches faults off.
-- @param id of one; nil: all
-- @return whether there was such a one
function M:remove(id)
    if not id then
        self.on = {}
        return true
    end
    for i, fault in ipairs(self.on) do
        if fault.id == id then
            table.remove(self.on, i)
            return true
        end
    end
    return false
end

return M
