--- host.test: handlers run as in production, but for time and network.

local t = require "host.test"

local odd = t.handler "odd"

t.case("sleeps take no time, and count", function()
    local result = odd:run { json = { sleep = 30 } }
    t.equal(result.outcome, "ack")
    t.ok(result.duration >= 30)
end)

t.case("a sleep beyond limits.time is cut", function()
    t.equal(odd:run { json = { sleep = 61 } }.kind, "time")
end)

t.case("limits.cpu holds", function()
    local result = odd:run { json = { spin = true } }
    t.equal(result.outcome, "retry")
    t.equal(result.kind, "cpu")
end)

t.case("an error comes with its place", function()
    local result = odd:run { json = { fail = "no good" } }
    t.equal(result.outcome, "retry")
    t.matches(result.reason, "no good")
    t.matches(result.at, "^odd.lua:%d+$")
end)

t.case("an answer's status is one", function()
    for _, status in ipairs { 99, 600, 2e2, "200" } do
        t.raises(function() t.http.on("GET", "http://x.test/", { status = status }) end,
            "from 100 to 599")
        t.raises(function() t.http.on("GET", "http://x.test/", { {}, { status = status } }) end,
            "from 100 to 599")
    end
    t.http.on("GET", "http://x.test/", { status = 599 })
end)

t.case("globals are closed, as in production", function()
    t.matches(odd:run { json = { global = true } }.reason, "some_global")
end)

t.case("messages of one case share a state", function()
    t.equal(odd:run { json = { tell = "runs" } }.reason, "1")
    t.equal(odd:run { json = { tell = "runs" } }.reason, "2")
end)

t.case("each case has a fresh one", function()
    t.equal(odd:run { json = { tell = "runs" } }.reason, "1")
end)

t.case("a message has what SQS gives it", function()
    local trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    local function tell(field, message)
        message.json = { tell = field }
        return odd:run(message).reason
    end
    t.equal(tell("id", { id = "m-7" }), "m-7")
    t.equal(tell("attempt", { attempt = 4, receive_count = 2 }), "4")
    t.equal(tell("receive_count", { attempt = 4, receive_count = 2 }), "2")
    t.equal(tell("sent_at", { sent_at = 1732450000.5 }), "1732450000.5")
    t.equal(tell("group", { group = "g" }), "g")
    t.equal(tell("trace", { trace = trace }), trace)
end)

t.case("differences name their places", function()
    local problem = t.raises(function() error { kind = "x" } end)
    t.equal(problem.kind, "x")
    local differences = require "host.test_differences"
    t.equal(differences.of({ a = { 1, 2 } }, { a = { 1, 3 }, b = "x" }),
        { "a[2]: expected 3, got 2", "b: expected \"x\", got nil" })
    t.equal(differences.of("1", 1), { "expected the number 1, got the string" })
    t.equal(differences.of({ 1 }, { 1 }), {})
end)
