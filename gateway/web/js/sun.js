/** Sunrise and sunset, and from them when street lamps are expected to be lit or dark. */

const MINUTE = 60_000;
const DAY = 86_400_000;
const RADIANS = Math.PI / 180;

/** Chosen: fixed timers switch on between 18:15 and 18:45 and off at 04:45 all year, so a lamp may lag the sun this much. */
const LIT_AFTER_SUNSET = 75 * MINUTE;
const LIT_UNTIL_BEFORE_SUNRISE = 90 * MINUTE;
/** Chosen: a lamp still burning this long after sunrise, or this long before sunset, burns by day. */
const DARK_AFTER_SUNRISE = 45 * MINUTE;
const DARK_UNTIL_BEFORE_SUNSET = 45 * MINUTE;

/**
 * Sunrise and sunset [ms UTC] of the solar day with this number (days since 1970 at that longitude).
 * Source: NOAA solar calculator, low-precision form; within two minutes at the latitudes of Viet Nam.
 */
function sunOfDay(day, latitude, longitude) {
  const noonGuess = day * DAY + DAY / 2 - (longitude / 360) * DAY;
  const centuries = (noonGuess / DAY + 2440587.5 - 2451545) / 36525;
  const meanLongitude = 280.46646 + 36000.76983 * centuries;
  const anomaly = (357.52911 + 35999.05029 * centuries) * RADIANS;
  const centre = 1.914602 * Math.sin(anomaly) + 0.019993 * Math.sin(2 * anomaly);
  const ecliptic = (meanLongitude + centre - 0.00569) * RADIANS;
  const tilt = 23.4393 * RADIANS;
  const declination = Math.asin(Math.sin(tilt) * Math.sin(ecliptic));
  const half = Math.tan(tilt / 2) ** 2;
  const mean = meanLongitude * RADIANS;
  const equationOfTime = 4 / RADIANS * (
    half * Math.sin(2 * mean) - 2 * 0.016708 * Math.sin(anomaly)
    + 4 * 0.016708 * half * Math.sin(anomaly) * Math.cos(2 * mean)
    - half * half / 2 * Math.sin(4 * mean) - 1.25 * 0.016708 ** 2 * Math.sin(2 * anomaly)
  );
  const noon = noonGuess - equationOfTime * MINUTE;
  const cosine = Math.cos(90.833 * RADIANS) / (Math.cos(latitude * RADIANS) * Math.cos(declination))
    - Math.tan(latitude * RADIANS) * Math.tan(declination);
  const reach = Math.acos(Math.min(1, Math.max(-1, cosine))) / RADIANS * 4 * MINUTE;
  return { sunrise: noon - reach, sunset: noon + reach };
}

/**
 * What the sky says at a moment [ms UTC] and a place.
 *
 * `night`: lamps ought to be lit; `day`: they ought to be dark; neither: dusk and dawn, nothing is judged.
 * `since`: when that night or day began. `lastNight`: when the latest lit time began, tonight's if it is night.
 */
export function sky(now, latitude, longitude) {
  const today = Math.floor((now + (longitude / 360) * DAY) / DAY);
  const [before, here, after] = [today - 1, today, today + 1].map((day) => sunOfDay(day, latitude, longitude));
  const nights = [[before, here], [here, after]].map(([evening, morning]) => ({
    from: evening.sunset + LIT_AFTER_SUNSET, to: morning.sunrise - LIT_UNTIL_BEFORE_SUNRISE,
  }));
  const night = nights.find(({ from, to }) => now >= from && now < to);
  const dayFrom = here.sunrise + DARK_AFTER_SUNRISE;
  const day = now >= dayFrom && now < here.sunset - DARK_UNTIL_BEFORE_SUNSET;
  return {
    night: night !== undefined,
    day,
    since: night ? night.from : dayFrom,
    lastNight: now >= nights[1].from ? nights[1].from : nights[0].from,
    sunrise: now < here.sunrise ? here.sunrise : now < here.sunset ? here.sunrise : after.sunrise,
    sunset: here.sunset,
    up: now >= here.sunrise && now < here.sunset,
  };
}
