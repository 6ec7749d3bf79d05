--- host.http and the tests' own scripted server.

local t = require "host.test"

local calls = t.handler "calls"

local function call(request)
    return calls:run { json = request }
end

t.case("a list of answers is for one request each, the last for all further ones", function()
    t.http.on("POST", "http://x.test/*", { { status = 503 }, { status = 201, json = { id = 7 } } })
    local request = { method = "POST", url = "http://x.test/a", json = { n = 1 }, expect = "2xx" }
    t.equal(call(request).outcome, "park")
    t.equal(call(request).outcome, "ack")
    t.equal(call(request).outcome, "ack")
    t.equal(#t.http.requests "POST", 3)
    t.equal(t.http.requests()[1].json, { n = 1 })
end)

t.case("a later route goes first", function()
    t.http.on("GET", "http://x.test/*", { status = 500 })
    t.http.on("GET", "http://x.test/a", { status = 200 })
    t.equal(call { url = "http://x.test/a", expect = 200 }.outcome, "ack")
    t.equal(call { url = "http://x.test/b", expect = 200 }.outcome, "park")
end)

t.case("a function answers with what it sees", function()
    t.http.on("*", "http://x.test/echo", function(request)
        return { status = request.headers["x-n"] == "5" and request.query == "a=b" and 204 or 400 }
    end)
    local request = { url = "http://x.test/echo?a=b", headers = { ["X-N"] = "5" }, expect = 204 }
    t.equal(call(request).outcome, "ack")
end)

t.case("a server that fails is its own failure, as on the wire", function()
    for _, how in ipairs { "connect", "timeout", "cut" } do
        t.http.on("*", "http://x.test/", { fails = how })
        local result = call { url = "http://x.test/" }
        t.equal(result.outcome, "park")
        t.equal(result.kind, how)
        t.equal(result.target, "http://x.test:80")
    end
end)

t.case("a server may say when to come again", function()
    t.http.on("GET", "http://x.test/", { status = 429, headers = { ["Retry-After"] = "7" } })
    local result = call { url = "http://x.test/", expect = 200 }
    t.equal(result.outcome, "retry")
    t.equal(result.after, 7.0)
end)
