--- Time stamps: RFC 3339 text and seconds since 1970, UTC. No time zone of the machine is used.

local M = {}

-- Days since 1970-01-01 of a date of the Gregorian calendar; the year begins in March, so that the
-- day that leap years add comes last.
local function days_of(year, month, day)
    if month <= 2 then year, month = year - 1, month + 12 end
    local era = year // 400
    local year_of_era = year - era * 400
    local day_of_year = (153 * (month - 3) + 2) // 5 + day - 1
    local day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468
end

local function date_of(days)
    days = days + 719468
    local era = days // 146097
    local day_of_era = days - era * 146097
    local year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524
        - day_of_era // 146096) // 365
    local day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    local m = (5 * day_of_year + 2) // 153
    local month = m < 10 and m + 3 or m - 9
    return year_of_era + era * 400 + (month <= 2 and 1 or 0), month,
        day_of_year - (153 * m + 2) // 5 + 1
end

local MONTH_DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function days_in(year, month)
    local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
    return MONTH_DAYS[month] + (month == 2 and leap and 1 or 0)
end

local function zone_s(zone)
    if zone == "Z" or zone == "z" then return 0 end
    local sign, hours, minutes = zone:match("^([+-])(%d%d):(%d%d)$")
    hours, minutes = tonumber(hours), tonumber(minutes)
    if not sign or hours > 23 or minutes > 59 then return nil end
    return (sign == "-" and -1 or 1) * (hours * 3600 + minutes * 60)
end

--- Seconds since 1970 of an RFC 3339 time stamp.
-- @param text "2026-11-24T15:12:44.871Z", or with an offset: "…+01:00"
-- @return seconds: an integer, or with a fraction a float; nil and words if it is none
function M.parse(text)
    if type(text) ~= "string" then return nil, "expected a time stamp, got a " .. type(text) end
    local wrong = ("%q is no RFC 3339 time stamp, like 2026-11-24T15:12:44Z"):format(text)
    local year, month, day, hour, minute, second, fraction, zone = text:match(
        "^(%d%d%d%d)%-(%d%d)%-(%d%d)[Tt ](%d%d):(%d%d):(%d%d)(%.?%d*)([Zz+-].*)$")
    if not year then return nil, wrong end
    year, month, day = math.tointeger(year), math.tointeger(month), math.tointeger(day)
    hour, minute, second = math.tointeger(hour), math.tointeger(minute), math.tointeger(second)
    local offset = zone_s(zone)
    if not offset or month < 1 or month > 12 or day < 1 or day > days_in(year, month)
        or hour > 23 or minute > 59 or second > 60 or fraction == "." then
        return nil, wrong
    end
    local seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    return fraction == "" and seconds or seconds + tonumber("0" .. fraction)
end

--- An RFC 3339 time stamp in UTC.
-- @param seconds since 1970, as host.now and msg.sent_at give them
-- @param digits of the fraction (optional, 0 to 9; default 0; cut, not rounded)
-- @return "2026-11-24T15:12:44Z"
function M.format(seconds, digits)
    local whole = math.floor(seconds)
    local days, rest = whole // 86400, whole % 86400
    local year, month, day = date_of(days)
    local fraction = ""
    if digits and digits > 0 then
        local unit = 10 ^ digits
        fraction = (".%0" .. digits .. "d"):format(math.floor((seconds - whole) * unit))
    end
    return ("%04d-%02d-%02dT%02d:%02d:%02d%sZ"):format(year, month, day, rest // 3600,
        rest // 60 % 60, rest % 60, fraction)
end

return M
