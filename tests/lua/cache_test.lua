--- host.cache in one worker; several are the unit test's.

local t = require "host.test"
local json = require "host.json"

local remembers = t.handler "remembers"

local function all(deeds)
    local result = remembers:run { json = deeds }
    t.equal(result.kind, nil, result.reason)
    return json.decode(result.reason)
end

local function one(deed, fields)
    fields.deed = deed
    return all({ fields })[1]
end

t.case("values come back as they were", function()
    for _, value in ipairs { "text", 5, 1.5, true, { a = { 1, 2 } }, 9007199254740993 } do
        one("set", { key = "k", value = value })
        t.equal(one("get", { key = "k" }).value, value)
    end
    t.equal(one("get", { key = "other" }).value, nil)
    one("delete", { key = "k" })
    t.equal(one("get", { key = "k" }).value, nil)
end)

t.case("a table that was got is one's own", function()
    t.equal(one("value_is_own", { key = "k" }).value, { list = { 1 } })
end)

t.case("values end", function()
    local got = all { { deed = "set", key = "k", value = 1, ttl = 10 },
        { deed = "wait", seconds = 9 }, { deed = "get", key = "k" },
        { deed = "wait", seconds = 2 }, { deed = "get", key = "k" } }
    t.equal(got[3].value, 1)
    t.equal(got[5].value, nil)
end)

t.case("incr counts, and refuses what is no integer", function()
    t.equal(one("incr", { key = "n" }).value, 1)
    t.equal(one("incr", { key = "n", by = 41 }).value, 42)
    t.equal(one("get", { key = "n" }).value, 42)
    one("set", { key = "n", value = "x" })
    t.matches(one("incr", { key = "n" }).words, "is no integer")
    one("set", { key = "n", value = math.maxinteger })
    t.matches(one("incr", { key = "n" }).words, "would not fit one")
end)

t.case("once computes once, until it ends", function()
    for _ = 1, 3 do
        t.equal(one("once", { key = "o", ttl = 5, value = { x = 1 } }).value, { x = 1 })
    end
    t.equal(one("get", { key = "computed" }).value, 1)
    all { { deed = "wait", seconds = 6 }, { deed = "once", key = "o", value = 2 } }
    t.equal(one("get", { key = "computed" }).value, 2)
end)

t.case("what fails, or gives nothing, is not kept, and the next one computes", function()
    t.matches(one("once", { key = "o", fail = "no luck" }).words, "no luck")
    t.equal(one("once", { key = "o" }).value, nil)
    t.equal(one("once", { key = "o", value = 3 }).value, 3)
    t.equal(one("get", { key = "computed" }).value, 3)
end)

t.case("a value that waits for itself is said", function()
    t.matches(one("nested", { key = "o" }).words, "being computed by this very message")
    t.equal(one("once", { key = "o", value = 1 }).value, 1)
end)

t.case("keys and times are checked", function()
    t.matches(one("get", { key = 5 }).words, "a key must be a string")
    t.matches(one("get", { key = "" }).words, "1 to 1024 bytes")
    t.matches(one("get", { key = "a\0b" }).words, "none of them NUL")
    t.matches(one("set", { key = "k", value = 1, ttl = -1 }).words, "more than 0")
end)
