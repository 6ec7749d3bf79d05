--- What the example promises, in both of its styles: run it with `host test`.

local t = require "host.test"

local styles = { t.handler "register", t.handler "register_map" }

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

local function case(name, body)
    for _, register in ipairs(styles) do
        t.case(("%s: %s"):format(register.path, name), function() body(register) end)
    end
end

case("makes the account with its group and role", function(register)
    customers()
    t.equal(register:run(registration "ada").outcome, "ack")
    local user = t.keycloak.user "ada"
    t.equal(user.email, "ada@example.org")
    t.equal(user.firstName, "Ada")
    t.equal(user.groups, { "/customers" })
    t.equal(user.realmRoles, { "customer" })
end)

case("makes it once, however often the event comes", function(register)
    customers()
    for _ = 1, 3 do t.equal(register:run(registration "ada").outcome, "ack") end
    t.equal(#t.keycloak.users(), 1)
end)

case("rejects an event without an e-mail, and asks nobody", function(register)
    local result = register:run { json = { user = { username = "ada" } } }
    t.equal(result.outcome, "reject")
    t.matches(result.reason, "email")
    t.equal(t.http.requests(), {})
end)

case("rejects a body that is no JSON", function(register)
    t.equal(register:run("<user/>").outcome, "reject")
end)

case("leaves somebody else's account alone", function(register)
    customers()
    t.keycloak.add { username = "ada", email = "other@example.org" }
    local result = register:run(registration "ada")
    t.equal(result.outcome, "reject")
    t.equal(result.kind, "conflict")
    t.equal(t.keycloak.user("ada").groups, {})
end)

case("waits for a Keycloak that is away", function(register)
    t.http.on("*", "*/users*", { status = 503 })
    customers()
    t.equal(register:run(registration "ada").outcome, "park")
end)

case("names the group that the realm lacks", function(register)
    t.keycloak.realm { roles = { "customer" } }
    local result = register:run(registration "ada")
    t.equal(result.outcome, "retry")
    t.matches(result.reason, "/customers")
end)
