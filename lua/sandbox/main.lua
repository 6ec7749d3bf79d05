--- The stand-in servers' front door: which request goes where. Entered from C (vm/sandbox.c).

local control = require "sandbox.control"
local core = require "sandbox.core"
local Faults = require "sandbox.faults"
local Heap = require "sandbox.heap"
local json = require "host.json"
local keycloak = require "sandbox.keycloak"
local Log = require "sandbox.log"
local sqs = require "sandbox.sqs"

local M = {}

local queues, realms -- the two services
local timers, faults, log

local PAGE = [[
Stand-ins for a queue service and for Keycloak. Nothing here outlives the process.

SQS, JSON protocol   POST /
Keycloak             /realms/..., /admin/realms/...
Faults               POST, GET, DELETE /_sandbox/faults
What was executed    GET /_sandbox/log
]]

-- What `kc` needs to register people, and nothing more.
local CLIENT_ROLES = { "manage-users", "view-users", "query-users", "view-realm" }

local function demo_realm(options)
    local client_id = options.client_id
    return {
        realm = options.realm, enabled = true, smtpServer = { host = "memory" },
        roles = { realm = { { name = "customer" } } },
        groups = { { name = "customers" } },
        clients = { { clientId = client_id, secret = options.client_secret, enabled = true,
            publicClient = false, serviceAccountsEnabled = true } },
        users = { { username = "service-account-" .. client_id, enabled = true,
            serviceAccountClientId = client_id,
            clientRoles = { ["realm-management"] = CLIENT_ROLES } } },
    }
end

local function read_realm(given)
    local ok, rep = pcall(json.decode, given.text)
    if not ok then return nil, ("%s is no JSON: %s"):format(given.name, rep) end
    if type(rep) ~= "table" or type(rep.realm) ~= "string" or not rep.realm:find("^[^/]+$") then
        return nil, given.name .. " is no realm export: it has no field \"realm\" with a name"
    end
    return rep
end

local function read_realms(options)
    local list, known = {}, {}
    for _, given in ipairs(options.realms) do
        local rep, wrong = read_realm(given)
        if not rep then return nil, wrong end
        if known[rep.realm] then
            return nil, ("%s: the realm %q is in %s already"):format(given.name, rep.realm,
                known[rep.realm])
        end
        known[rep.realm] = given.name
        list[#list + 1] = rep
    end
    if not known[options.realm] then list[#list + 1] = demo_realm(options) end
    return list
end

local function add_queues(options)
    local names = { table.unpack(options.queues) }
    names[#names + 1] = options.dead_letters
    for _, name in ipairs(names) do
        local wrong = queues:add_queue(name)
        if wrong then return ("the queue %q: %s"):format(name, wrong) end
    end
    if options.dead_letters then
        queues:redrive(names[1], options.dead_letters, options.redrive_max)
    end
    return nil
end

--- Makes both services.
-- @param options queues (names), dead_letters (nil, or the name of one that takes what was
--   received redrive_max times from the first), realms (a list of {name, text}), realm, client_id,
--   client_secret
-- @return nil, or words about what is wrong with the options
function M.start(options)
    timers, log = Heap.new(), Log.new()
    faults = Faults.new(timers)
    queues = sqs.new(timers, faults)
    local wrong = add_queues(options)
    if wrong then return wrong end
    local list
    list, wrong = read_realms(options)
    if not list then return wrong end
    local ok, made = pcall(keycloak.new, {
        realms = list, now = function() return core.wall() // 1000 end,
        faults = faults,
    })
    if not ok then return "a realm cannot be read: " .. tostring(made) end
    realms = made
    return nil
end

local function text(req, status, words)
    req:reply(status, { ["Content-Type"] = "text/plain; charset=utf-8" }, words)
end

local function not_sqs(req)
    text(req, 400, "POST / takes SQS's JSON 1.0 protocol: a header X-Amz-Target that says "
        .. "AmazonSQS.<Operation>. Older SDKs that speak the query protocol are not understood.\n")
end

local function ask_keycloak(req)
    log:add("keycloak", req)
    req:reply(realms:handle(req))
end

local function ask_sqs(req)
    log:add("sqs", req)
    queues:handle(req)
end

local function revoke() realms:revoke() end

--- Answers one request, now or later (req:reply).
function M.handle(req)
    local path = req.path
    local target = req.headers["x-amz-target"]
    if path:find("^/realms/") or path:find("^/admin/realms/") then
        req.operation = req.method .. " " .. path
        faults:serve("keycloak", req, ask_keycloak, revoke)
    elseif req.method == "POST" and target and target:find("^AmazonSQS%.") then
        req.operation = target:match("^AmazonSQS%.(.*)$")
        faults:serve("sqs", req, ask_sqs, revoke)
    elseif path:find("^/_sandbox/") then
        control.handle(req, path:sub(#"/_sandbox" + 1), faults, log)
    elseif req.method == "POST" and path == "/" then
        not_sqs(req)
    elseif path == "/" and (req.method == "GET" or req.method == "HEAD") then
        text(req, 200, PAGE)
    else
        text(req, 404, "nothing is here\n")
    end
end

--- Does what is due.
function M.tick()
    local first = timers:first()
    while first and first.due <= core.now() do
        first:fire()
        first = timers:first()
    end
end

--- When tick wants to be called (ms of core.now), or nil.
function M.due()
    local first = timers:first()
    return first and first.due
end

return M
