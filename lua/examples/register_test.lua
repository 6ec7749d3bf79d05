--- What the example promises: run it with `host test`.

local t = require "host.test"

local register = t.handler "register"

local function person(name)
    return { username = name, email = name .. "@example.org", first_name = "Ada",
        last_name = "Lovelace" }
end

local function registration(name)
    return { json = { user = person(name) }, sent_at = 1732450000 }
end

local function customers()
    t.keycloak.realm { groups = { "/customers" }, roles = { "customer" } }
end

t.case("makes the account with its group and role", function()
    customers()
    t.equal(register:run(registration "ada").outcome, "ack")
    local user = t.keycloak.user "ada"
    t.equal(user.email, "ada@example.org")
    t.equal(user.firstName, "Ada")
    t.equal(user.groups, { "/customers" })
    t.equal(user.realmRoles, { "customer" })
end)

t.case("makes it once, however often the event comes", function()
    customers()
    for _ = 1, 3 do t.equal(register:run(registration "ada").outcome, "ack") end
    t.equal(#t.keycloak.users(), 1)
end)

t.case("rejects an event without an e-mail, and asks nobody", function()
    local result = register:run { json = { user = { username = "ada" } } }
    t.equal(result.outcome, "reject")
    t.matches(result.reason, "no email")
    t.equal(t.http.requests(), {})
end)

t.case("rejects a body that is no JSON", function()
    t.equal(register:run("<user/>").outcome, "reject")
end)

t.case("leaves somebody else's account alone", function()
    customers()
    t.keycloak.add { username = "ada", email = "other@example.org" }
    local result = register:run(registration "ada")
    t.equal(result.outcome, "reject")
    t.equal(result.kind, "conflict")
    t.equal(t.keycloak.user("ada").groups, {})
end)

t.case("waits for a Keycloak that is away", function()
    t.http.on("*", "*/users*", { status = 503 })
    customers()
    t.equal(register:run(registration "ada").outcome, "park")
end)

t.case("names the group that the realm lacks", function()
    t.keycloak.realm { roles = { "customer" } }
    local result = register:run(registration "ada")
    t.equal(result.outcome, "retry")
    t.matches(result.reason, "/customers")
end)
