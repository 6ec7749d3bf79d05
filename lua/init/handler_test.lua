--- Run by `host test`: nothing is sent, Keycloak is in memory.

local t = require "host.test"

local handler = t.handler "NAME"

local ada = { username = "ada", email = "ada@example.org", first_name = "Ada" }

t.case("makes the account", function()
    t.equal(handler:run({ json = { user = ada } }).outcome, "ack")
    t.equal(t.keycloak.user("ada").firstName, "Ada")
end)

t.case("makes it once, though the event comes twice", function()
    for _ = 1, 2 do t.equal(handler:run({ json = { user = ada } }).outcome, "ack") end
    t.equal(#t.keycloak.users(), 1)
end)

t.case("rejects an event without an e-mail", function()
    local result = handler:run { json = { user = { username = "ada" } } }
    t.equal(result.outcome, "reject")
    t.matches(result.reason, "user.email is required")
end)
