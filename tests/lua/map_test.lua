--- host.map: a mapping as data.

local t = require "host.test"
local map = require "host.map"
local path = require "host.map_path"

local function event()
    return { user = { username = "ada", email = " ADA@Example.org ", country = "de", age = "41",
        phones = { { number = "+49 1" }, { number = "+49 2" } }, tier = "vip", admin = "true",
        names = { "Ada", "Lovelace" } }, ["given name"] = "x" }
end

t.case("paths", function()
    for text, wanted in pairs {
        ["user.username"] = "ada", ["user.phones[1].number"] = "+49 1",
        ["user.phones[-1].number"] = "+49 2", ['["given name"]'] = "x",
    } do
        t.equal(path.compile(text)(event()), wanted, text)
    end
    for _, text in ipairs { "user.nothing", "nobody.at.all", "user.username.deeper",
        "user.phones[3].number" } do
        t.equal(path.compile(text)(event()), nil, text)
    end
    for text, at in pairs { [""] = 1, [".user"] = 1, ["user..email"] = 5, ["user."] = 5,
        ["user[0]"] = 5, ["user[x]"] = 5, ["user email"] = 5, ["user.[1]"] = 5 } do
        local get, wrong = path.compile(text)
        t.equal(get, nil, text)
        t.matches(wrong, ("from its character %d on"):format(at))
    end
end)

t.case("each kind of source and of rule", function()
    local to_user = map {
        username = "user.username",
        email = { "user.email", required = true, transform = { "trim", "lower" } },
        phone = { "user.phones[1].number", transform = "digits" },
        country = { "user.country", lookup = { de = "Germany" } },
        age = { "user.age", transform = "integer" },
        admin = { "user.admin", transform = "boolean" },
        enabled = { value = true },
        nickname = { "user.nickname", default = "none" },
        absent = "user.absent",
        groups = { list = { { value = "/customers" },
            { value = "/vip", when = { "user.tier", is = "vip" } },
            { value = "/staff", when = { "user.tier", one_of = { "staff" } } },
            { value = "/known", when = { "user.username", present = true } },
            { value = "/nameless", when = { "user.username", absent = true } } } },
        attributes = { object = { source = { value = "import" }, tier = "user.tier" } },
        lastName = { call = function(e) return e.user.names[2] end },
    }
    t.equal(to_user(event()), {
        username = "ada", email = "ada@example.org", phone = "491", country = "Germany", age = 41,
        admin = true, enabled = true, nickname = "none", lastName = "Lovelace",
        groups = { "/customers", "/vip", "/known" },
        attributes = { source = "import", tier = "vip" },
    })
end)

t.case("what an event lacks is named with field and path", function()
    local function words(rule, e)
        local mapping = map { field = rule }
        local problem = t.raises(function() mapping(e or event()) end)
        t.equal(problem.kind, "map")
        t.equal(problem.retryable, false)
        return problem.message
    end
    t.equal(words { "user.no", required = true }, "field: user.no is required, found nothing")
    t.equal(words { "user.age", type = "number" },
        'field: user.age: expected a number, found "41"')
    t.equal(words { "user.tier", lookup = { a = 1 } },
        'field: user.tier: "vip" is not in its lookup table')
    t.equal(words { "user.username", transform = "integer" },
        'field: user.username: integer cannot be made of "ada"')
    t.equal(words { "user.phones", transform = "lower" },
        "field: user.phones: lower cannot be made of a list")
    t.equal(words({ list = { { "a", required = true } } }, {}),
        "field[1]: a is required, found nothing")
    t.equal(words({ object = { b = { "a", required = true } } }, {}),
        "field.b: a is required, found nothing")
    t.matches(t.raises(function() map { a = "b" } "text" end).message, "expected an object")
end)

t.case("slips in the table are found while it loads", function()
    for pattern, rule in pairs {
        ['field "f": "requird" is nothing that a rule has: did you mean "required"'] =
            { "a", requird = true },
        ['field "f": has no source'] = { required = true },
        ['field "f": has two sources, a path and value'] = { "a", value = 1 },
        ['field "f": has two sources, value and call'] = { value = 1, call = print },
        ['field "f": there is no transform "lowr": did you mean "lower"'] =
            { "a", transform = "lowr" },
        ['field "f": the path "a..b" cannot be read'] = "a..b",
        ['field "f": a rule is a path or a table, not a number'] = 5,
        ['field "f": there is no type "text"'] = { "a", type = "text" },
        ['field "f": call takes a function'] = { call = "x" },
        ['field "f": when takes'] = { "a", when = "b" },
        ['field "f%[2%]": has no source'] = { list = { "a", {} } },
        ['field "f.g": has no source'] = { object = { g = {} } },
    } do
        t.raises(function() map { f = rule } end, "host.map: " .. pattern)
    end
    t.raises(function() map "user" end, "takes a table of rules")
    t.raises(function() map { "user.name" } end, "a field has a name")
end)

t.case("a map tells what it does", function()
    t.equal(map.describe(map {
        email = { "user.email", required = true, transform = "lower" },
        enabled = { value = true },
        groups = { list = { { value = "/vip", when = { "user.tier", is = "vip" } } } },
    }), {
        { field = "email", from = "user.email", rule = 'required, transform "lower"' },
        { field = "enabled", from = "always true", rule = "" },
        { field = "groups", from = "a list", rule = "" },
        { field = "groups[1]", from = 'always "/vip"', rule = "when user.tier" },
    })
end)
