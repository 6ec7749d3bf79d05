--- Lower case as Keycloak takes it for user names and e-mail addresses, measured on 26.7.4: letter
-- by letter, never by number ("ß" is not "SS", "ı" not "I", "ſ" not "s"), accents kept. Latin,
-- Greek and Cyrillic are known here; a letter of another script stays as it is, so that two names
-- can be taken for different people, but not two people for one.

-- Capitals outside the regular ranges.
local SINGLE = { [0x178] = 0xFF, [0x1E9E] = 0xDF, [0x212A] = 0x6B }

local function lower(c)
    if c >= 0x41 and c <= 0x5A or c >= 0xC0 and c <= 0xDE and c ~= 0xD7
        or c >= 0x391 and c <= 0x3A9 or c >= 0x410 and c <= 0x42F then
        return c + 0x20
    elseif c >= 0x400 and c <= 0x40F then
        return c + 0x50
    elseif c >= 0x100 and c <= 0x137 and c ~= 0x130 or c >= 0x14A and c <= 0x177
        or c >= 0x1E00 and c <= 0x1E95 or c >= 0x1EA0 and c <= 0x1EFF then
        return c | 1
    elseif c >= 0x139 and c <= 0x148 or c >= 0x179 and c <= 0x17E then
        return c + (c & 1)
    end
    return SINGLE[c] or c
end

--- @param text a string; what is no UTF-8 is folded as ASCII
-- @return the folded text
return function(text)
    if not text:find("[\128-\255]") or not utf8.len(text) then return text:lower() end
    local out = {}
    for _, c in utf8.codes(text) do out[#out + 1] = utf8.char(lower(c)) end
    return table.concat(out)
end
