"""The words of directions, a table for each language; `sig.py` is the grammar that all of them share.

A phrase stands in the table of what it means. Adding a language is adding a table; what is not in a table is not
understood, so a missing word refuses and never misleads. Letters and digits stand apart when a phrase is looked up
("q 8 h", "5 ml"), and everything is in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Language:
    """One language. `rates` are times a day as a fraction, `whens` R4 event-timing codes, `weekdays` R4 days-of-week.

    `times` are the words between a number and the day ("3 *times a* day" is `times` + `per_day`); `reason` opens what
    it is for, `condition` what it is only taken for ("si dolor"); `correctable` are the words for which a slip of one
    letter is put right; a `weekdays` phrase may stand for several days.
    """

    name: str
    numbers: Mapping[str, str]
    halves: tuple[str, ...]
    to: tuple[str, ...]
    join: tuple[str, ...]
    rates: Mapping[str, str]
    times: tuple[str, ...]
    per_day: tuple[str, ...]
    per_week: tuple[str, ...]
    every: tuple[str, ...]
    hours: tuple[str, ...]
    days: tuple[str, ...]
    weeks: tuple[str, ...]
    whens: Mapping[str, str]
    weekdays: Mapping[str, str]
    needed: tuple[str, ...]
    up_to: tuple[str, ...]
    passed: tuple[str, ...]
    before: tuple[str, ...]
    duration: tuple[str, ...]
    reason: tuple[str, ...]
    ceiling: tuple[str, ...]
    ceiling_per: tuple[str, ...]
    notices: tuple[str, ...]
    clock: tuple[str, ...]
    change: tuple[str, ...]
    quantity: tuple[str, ...] = ()
    condition: tuple[str, ...] = ()
    divided: tuple[str, ...] = ()
    totals: tuple[str, ...] = ()
    other_days: tuple[str, ...] = ()
    minutes: tuple[str, ...] = ("min", "mins", "minutes", "minute")
    correctable: tuple[str, ...] = ()
    typos: Mapping[str, str] = field(default_factory=dict)


ENGLISH = Language(
    name="en",
    numbers={
        "one half": "1/2", "a half": "1/2", "half a": "1/2", "half of a": "1/2", "half of one": "1/2", "half": "1/2",
        "one-half": "1/2", "one quarter": "1/4", "a quarter": "1/4", "quarter of a": "1/4", "quarter": "1/4",
        "three quarters": "3/4", "an": "1", "a": "1", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
        "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "fifteen": "15",
        "twenty": "20", "thirty": "30", "i": "1", "ii": "2", "iii": "3",
    },
    halves=("and a half", "and one half", "and one-half", "and 1/2", "and half", "& 1/2"),
    to=("to", "-", "or"),
    join=("and", "plus"),
    rates={
        "once a day": "1", "once daily": "1", "once per day": "1", "once each day": "1", "once every day": "1",
        "once in a day": "1", "daily": "1", "every day": "1", "each day": "1", "a day": "1", "per day": "1", "qd": "1",
        "q d": "1", "q day": "1", "qday": "1", "od": "1", "o d": "1", "sid": "1", "/ day": "1", "/ d": "1", "dly": "1",
        "every 24 hours": "1", "twice a day": "2", "twice daily": "2", "twice per day": "2", "twice each day": "2",
        "twice every day": "2", "twice dly": "2", "bid": "2", "b i d": "2", "bd": "2", "b d": "2", "bds": "2",
        "thrice daily": "3", "thrice a day": "3", "tid": "3", "t i d": "3", "tds": "3", "t d s": "3",
        "qid": "4", "q i d": "4", "qds": "4", "q d s": "4", "every other day": "1/2", "every second day": "1/2",
        "on alternate days": "1/2", "alternate days": "1/2", "qod": "1/2", "q o d": "1/2", "eod": "1/2",
        "weekly": "1/7", "q week": "1/7", "qweek": "1/7", "q wk": "1/7", "qwk": "1/7", "once weekly": "1/7",
        "once a week": "1/7", "once per week": "1/7", "every week": "1/7",
        "each week": "1/7", "twice weekly": "2/7", "twice a week": "2/7", "twice per week": "2/7",
        "every third day": "1/3", "every other night": "1/2", "every other evening": "1/2",
        "every other morning": "1/2", "every second night": "1/2", "on alternate nights": "1/2",
        "alternate nights": "1/2", "every alternate day": "1/2", "before meals and at bedtime": "4",
        "with meals and at bedtime": "4", "after meals and at bedtime": "4", "before meals and bedtime": "4",
        "with meals and bedtime": "4", "ac and hs": "4", "ac hs": "4", "achs": "4", "ac & hs": "4", "ac / hs": "4",
        "before meals and nightly": "4", "before meals and at night": "4", "every 24 hrs": "1",
        "once every morning": "1",
        "thrice per day": "3", "once every week": "1/7", "thrice weekly": "3/7", "once every other day": "1/2",
    },
    times=("times", "time", "x", "doses"),
    per_day=("a day", "daily", "per day", "each day", "every day", "/ day", "in a day", "in 24 hours", "/ d", "dly",
             "day",
             "xdaily", "in the day", "during the day"),
    per_week=("a week", "weekly", "per week", "each week", "every week", "/ week", "/ wk"),
    every=("every", "each", "q", "once every"),
    hours=("hours", "hour", "hrs", "hr", "h", "hourly", "hrly"),
    days=("days", "day", "d"),
    weeks=("weeks", "week", "wk", "wks"),
    whens={
        "in the morning": "MORN", "in the mornings": "MORN", "every morning": "MORN", "each morning": "MORN",
        "mornings": "MORN", "mane": "MORN", "om": "MORN", "o m": "MORN", "qam": "MORN", "q am": "MORN", "am": "MORN",
        "a m": "MORN", "in am": "MORN", "in the am": "MORN", "every am": "MORN", "morning": "MORN",
        "each am": "MORN", "on waking": "WAKE", "upon waking": "WAKE", "at noon": "NOON", "noon": "NOON",
        "midday": "NOON", "at midday": "NOON", "at lunch": "CD", "at lunchtime": "CD", "lunchtime": "CD",
        "in the afternoon": "AFT", "every afternoon": "AFT", "each afternoon": "AFT", "afternoon": "AFT",
        "in the evening": "EVE", "in the evenings": "EVE", "every evening": "EVE", "each evening": "EVE",
        "evening": "EVE", "evenings": "EVE", "qpm": "EVE", "q pm": "EVE", "pm": "EVE", "p m": "EVE", "in pm": "EVE",
        "in the pm": "EVE", "every pm": "EVE", "at supper": "CV", "with supper": "CV", "at teatime": "CV",
        "at night": "NIGHT", "every night": "NIGHT", "each night": "NIGHT", "nightly": "NIGHT", "nights": "NIGHT",
        "nocte": "NIGHT", "night": "NIGHT", "at nighttime": "NIGHT", "nighttime": "NIGHT", "q night": "NIGHT",
        "at night time": "NIGHT", "qnight": "NIGHT", "in the night": "NIGHT", "once at night": "NIGHT",
        "at bedtime": "HS", "bedtime": "HS", "before bed": "HS", "before bedtime": "HS", "hs": "HS", "qhs": "HS",
        "q hs": "HS", "h s": "HS", "every bedtime": "HS", "nightly at bedtime": "HS", "every night at bedtime": "HS",
        "at night before bed": "HS", "at night at bedtime": "HS", "each night at bedtime": "HS", "at hs": "HS",
        "every evening at bedtime": "HS", "in the evening at bedtime": "HS", "at bed time": "HS", "bed time": "HS",
        "nightly before bed": "HS", "before sleep": "HS", "when going to bed": "HS", "before going to bed": "HS",
        "on retiring": "HS", "every night before bed": "HS", "every night before bedtime": "HS",
        "before breakfast": "ACM", "before lunch": "ACD", "before dinner": "ACV", "before supper": "ACV",
        "before evening meal": "ACV", "before the evening meal": "ACV", "with breakfast": "CM", "at breakfast": "CM",
        "with lunch": "CD", "with dinner": "CV", "at dinner": "CV", "with evening meal": "CV",
        "with the evening meal": "CV", "after breakfast": "PCM", "after lunch": "PCD", "after dinner": "PCV",
        "after supper": "PCV", "in the morning with breakfast": "CM", "in the evening with dinner": "CV",
        "every morning with breakfast": "CM", "in the morning before breakfast": "ACM",
        "every morning before breakfast": "ACM", "in the morning after breakfast": "PCM",
        "breakfast": "CM", "lunch": "CD", "dinner": "CV", "supper": "CV", "evening meal": "CV",
        "the evening meal": "CV", "after evening meal": "PCV", "after the evening meal": "PCV", "after tea": "PCV",
        "with tea": "CV", "teatime": "CV", "tea time": "CV", "with your evening meal": "CV", "first thing": "MORN",
        "first thing in the morning": "MORN", "with morning meal": "CM", "at lunch time": "CD", "lunch time": "CD",
        "with the morning meal": "CM", "before the morning meal": "ACM", "every day at noon": "NOON",
        "once in the morning": "MORN", "once at bedtime": "HS", "once nightly": "NIGHT", "once every night": "NIGHT",
        "once every evening": "EVE", "once in the evening": "EVE", "q a m": "MORN", "q p m": "EVE",
        "in the a m": "MORN", "in the p m": "EVE", "q evening": "EVE", "q morning": "MORN", "q bedtime": "HS",
        "q noon": "NOON", "late afternoon": "AFT", "mid afternoon": "AFT", "in the late afternoon": "AFT",
        "each night at bed time": "HS", "at night when going to bed": "HS", "nightly at bed time": "HS",
        "with evening meals": "CV", "in morning": "MORN", "in evening": "EVE", "in afternoon": "AFT",
        "in the morning upon waking": "WAKE", "upon awakening": "WAKE", "on awakening": "WAKE",
        "when you wake up": "WAKE",
    },
    weekdays={
        "monday": "mon", "mondays": "mon", "mon": "mon", "tuesday": "tue", "tuesdays": "tue", "tue": "tue",
        "tues": "tue", "wednesday": "wed", "wednesdays": "wed", "wed": "wed", "thursday": "thu", "thursdays": "thu",
        "thu": "thu", "thurs": "thu", "friday": "fri", "fridays": "fri", "fri": "fri", "saturday": "sat",
        "saturdays": "sat", "sat": "sat", "sunday": "sun", "sundays": "sun", "sun": "sun", "mwf": "mon wed fri",
        "m w f": "mon wed fri", "m / w / f": "mon wed fri", "tths": "tue thu sat", "tthsa": "tue thu sat",
        "weekdays": "mon tue wed thu fri", "weekends": "sat sun", "thur": "thu", "weds": "wed",
    },
    needed=(
        "as needed", "prn", "p r n", "if needed", "if required", "when required", "when needed", "as required",
        "if necessary", "when necessary", "as necessary", "only if needed", "only when needed", "if req'd", "as reqd",
        "only as needed", "when needed only", "if needed only", "when req", "if reqd", "when reqd", "as req", "as need",
        "as-needed", "on an as needed basis", "on as needed basis", "prn only", "only prn", "may take as needed",
    ),
    up_to=("up to", "max", "maximum", "upto", "no more than", "not more than", "may take up to", "may use up to"),
    passed=(
        "to be used", "applied", "inhaled", "injected", "inserted", "placed", "administered", "to be inhaled",
        "to be injected", "to be swallowed", "to be chewed", "to be sucked", "place",
        "put", "let", "administer", "drink", "mix", "mixed", "may take", "can take", "patient takes", "pt to take",
        "in right eye", "in the right eye", "into right eye", "into the right eye", "to the right eye", "to right eye",
        "in left eye", "in the left eye", "into left eye", "into the left eye", "to the left eye", "to left eye",
        "in right ear", "in the right ear", "into the right ear", "into right ear", "in left ear", "in the left ear",
        "into the left ear", "into left ear", "in affected eye", "in the affected eye", "into the affected eye",
        "into affected eye", "in affected ear", "in the affected ear", "into the affected ear", "on tongue",
        "on the tongue", "on top of tongue", "on top of the tongue", "pc", "ac", "p c", "a c", "with meals only",
        "using handihaler", "via handihaler", "via inhaler", "with spacer", "using spacer", "via spacer",
        "via oral inhalation", "by oral inhalation", "on the same day", "by inhalation", "inhale by mouth",
        "on the same day each week", "same day each week",
        "on the same day every week", "the same day each week", "on the same day of each week", "same day every week",
        "same time every day", "same time daily", "at the same time daily", "at same time each day",
        "at the same time of day", "with or just after food", "with or immediately after food", "just after food",
        "immediately after food", "after a meal", "before a meal", "before eating", "after eating", "with liquid",
        "with fluids", "with fluid", "with juice", "with or without meals", "without food", "whole",
        "as advised", "as advised by your doctor", "as directed by prescriber",
        "as directed by your physician", "as directed by md", "as directed by clinic", "as per doctor",
        "exactly as directed",
        "as directed on package", "orally with food", "oral tablet", "oral capsule",
        "scheduled",
        "on a full stomach", "on a empty stomach", "after meal", "before meal", "with a large glass of water",
        "with a glass of milk", "with a little water", "with lots of water", "with plenty of fluid",
        "dissolved in water",
        "dispersed in water", "disperse in water", "in water", "in a glass of water", "suck", "sucked", "swallowed",
        "continue", "continue taking", "medication",
        "take", "takes", "taken", "to be taken", "give", "given", "please", "patient to take", "by mouth", "orally",
        "oral", "by oral route", "oral route", "via oral route", "per os", "po", "p o", "po route", "by mouth route",
        "with food", "with or without food", "with or after food", "with meal", "with meals", "with a meal", "w meals",
        "wm", "with snacks", "with a snack", "with food or milk", "with milk", "after food", "before food",
        "before meals", "after meals", "with each meal", "on an empty stomach", "on empty stomach", "with water",
        "with a glass of water", "with a full glass of water", "with plenty of water", "swallow", "swallow whole",
        "swallowed whole", "sublingual", "sublingually", "sl", "under the tongue", "under tongue",
        "allow to dissolve", "and allow to dissolve", "let dissolve", "dissolve", "dissolved", "as directed",
        "as dir", "use as directed", "ud", "ut dict", "as instructed", "as prescribed", "as directed by doctor",
        "as directed by your doctor", "as directed by physician", "total", "in total", "at home", "at school",
        "at work", "compounded as a suspension", "regularly", "only", "sig", "around the clock", "must last",
        "spaced evenly", "evenly spaced", "at the same time each day", "same time each day", "via mouth", "dose",
        "apply", "insert", "inject", "instil", "instill", "inhale", "use", "subcut", "sc", "subcutaneously", "insulin",
        "at the same time every day", "dont take anything on the other days", "do not take on other days",
        "none on other days", "chew", "chewed", "dissolve in water", "crush", "dosage",
        "at a time",
    ),
    before=(
        "before breakfast", "before lunch", "before dinner", "before supper", "before bed", "before bedtime",
        "before meals", "before food", "ac", "after meals", "after food", "before a meal",
    ),
    duration=("for up to", "for the next", "for a total of", "for", "x", "duration", "during"),
    reason=("for", "to control", "to prevent", "to lower", "due to", "because of", "to help with", "to treat",
            "to help", "indication", "indications", "reason"),
    ceiling=(
        "maximum daily dose", "max daily dose", "max dose", "maximum dose", "daily max", "daily maximum", "mdd",
        "max", "maximum", "maximum of", "max of", "up to a maximum of", "to a maximum of", "up to max",
        "up to a max of",
        "not to exceed", "nte", "do not exceed", "do not exceed more than", "not more than", "no more than",
        "do not take more than", "max daily", "must not exceed", "never more than", "not exceeding",
    ),
    ceiling_per=(
        "per day", "a day", "daily", "/ day", "in 24 hours", "per 24 hours", "in 24 hrs", "/ 24 hours", "/ 24 hrs",
        "/ 24 h", "in 24 h", "in any 24 hours", "in a day", "every 24 hours", "per 24 hrs", "in a 24 hour period",
        "in 24 hour period", "each day", "in any 24 hour period", "/ d", "per 24 h", "in one day", "/ 24 hr", "/24 h",
        "/24 hr", "/24 hrs", "/24 hours", "in 24 hr",
    ),
    notices=(
        "may cause", "can cause", "may make", "avoid", "do not drive", "do not drink", "do not breastfeed",
        "do not crush", "do not chew", "do not take with", "do not take if", "do not take within", "do not break",
        "do not lie", "remain upright", "remove", "finish", "complete", "drink plenty", "protect", "use caution",
        "it is important", "this medicine", "this medication", "to be swallowed whole", "do not take any other",
        "do not take anything", "do not use", "limit alcohol", "pharmacy name", "do not operate", "do not use with",
        "don't drive", "dont drive", "caution",
        "warning", "inform", "notify", "call", "contact", "see", "follow up", "keep", "store", "refill", "refills",
        "no refills", "generic", "brand", "may substitute", "dispense as written", "daw", "patient", "pt", "pharmacy",
        "pharmacist", "bring", "return", "ok to", "okay to", "label", "drowsiness", "sedation", "thank you", "thanks",
        "note", "nb", "shake", "rinse", "written", "ref", "do not stop taking", "do not stop suddenly",
        "do not stop abruptly", "do not stop without", "may crush", "for oral use", "fill", "early refill", "no early",
    ),
    clock=("at", "@"),
    change=(
        "then", "taper", "tapering", "tapered", "wean", "weaning", "titrate", "titrating", "titration", "increase",
        "increasing", "decrease", "decreasing", "reduce", "reducing", "reduction", "alternating",
        "except", "skip", "until", "cut down", "adjust dose", "step down", "followed by", "after that",
        "thereafter",
    ),
    divided=("in", "divided in", "divided into"),
    totals=("total", "in total", "total daily", "total a day", "total per day", "total daily dose", "daily total",
            "per day total", "a day total", "/ day", "per day", "a day", "/ day total", "daily"),
    other_days=("all other days", "all the other days", "the other days", "other days", "on all other days",
                "all other days of the week", "the other days of the week", "the rest of the week", "remaining days",
                "the remaining days"),
    quantity=("#", "disp", "dispense", "qty", "quantity", "dispense #", "disp #", "qty #"),
    correctable=(
        "tablet", "tablets", "capsule", "capsules", "daily", "times", "twice", "three", "morning", "night", "evening",
        "bedtime", "needed", "mouth", "hours", "weeks", "every", "required", "breakfast", "before", "directed",
        "nightly", "orally",
    ),
    typos={
        "tkae": "take", "moth": "mouth", "mout": "mouth", "tke": "take", "tak": "take", "taks": "take",
        "mornign": "morning", "tale": "take", "taek": "take", "ttake": "take", "tabe": "tab", "tabsu": "tabs",
        "evry": "every", "hrsa": "hrs", "wk": "week", "wks": "weeks", "w": "with", "w/": "with", "dya": "day",
        "meds": "medication", "bd.": "bd",
    },
)  # fmt: skip

GERMAN = Language(
    name="de",
    numbers={
        "eine halbe": "1/2", "ein halbes": "1/2", "halbe": "1/2", "halbes": "1/2", "eine viertel": "1/4",
        "viertel": "1/4", "eineinhalb": "3/2", "anderthalb": "3/2", "ein": "1", "eine": "1", "einen": "1", "eins": "1",
        "zwei": "2", "drei": "3", "vier": "4", "fünf": "5", "fuenf": "5", "sechs": "6", "sieben": "7", "acht": "8",
        "neun": "9", "zehn": "10", "zwölf": "12",
    },
    halves=("und eine halbe", "einhalb"),
    to=("bis", "-", "oder", "bis zu"),
    join=("und", "sowie"),
    rates={
        "täglich": "1", "taeglich": "1", "tgl": "1", "einmal täglich": "1", "einmal tgl": "1", "einmal am tag": "1",
        "pro tag": "1", "am tag": "1", "jeden tag": "1", "/ tag": "1", "/ d": "1", "tägl": "1", "zweimal täglich": "2",
        "zweimal tgl": "2", "zweimal am tag": "2", "dreimal täglich": "3", "dreimal tgl": "3", "dreimal am tag": "3",
        "viermal täglich": "4", "viermal tgl": "4", "viermal am tag": "4", "einmal pro tag": "1",
        "zweimal pro tag": "2", "dreimal pro tag": "3", "jeden zweiten tag": "1/2", "alle zwei tage": "1/2",
        "wöchentlich": "1/7", "einmal wöchentlich": "1/7", "einmal pro woche": "1/7", "einmal in der woche": "1/7",
        "pro woche": "1/7", "jede woche": "1/7", "die woche": "1/7", "alle 2 tage": "1/2", "jeden dritten tag": "1/3",
        "jeden 3. tag": "1/3", "1 mal wöchentlich": "1/7", "zweimal pro woche": "2/7", "zweimal wöchentlich": "2/7",
        "dreimal pro woche": "3/7",
        "jeden 2. tag": "1/2", "jeden 2 tag": "1/2",
    },
    times=("mal", "x", "×", "-mal", "* "),
    per_day=("täglich", "taeglich", "tgl", "am tag", "pro tag", "/ tag", "/ d", "tägl", "d", "pro d"),
    per_week=("pro woche", "wöchentlich", "in der woche", "/ woche", "die woche"),
    every=("alle", "jede", "jeden"),
    hours=("stunden", "stunde", "std", "h", "stdl", "stündlich"),
    days=("tage", "tagen", "tag"),
    weeks=("wochen", "woche"),
    whens={
        "morgens": "MORN", "am morgen": "MORN", "jeden morgen": "MORN", "früh": "MORN", "in der früh": "MORN",
        "frühmorgens": "MORN", "morgen": "MORN", "vormittags": "MORN.late", "am vormittag": "MORN.late",
        "mittags": "NOON", "am mittag": "NOON", "zu mittag": "NOON", "mittag": "NOON", "nachmittags": "AFT",
        "am nachmittag": "AFT", "abends": "EVE", "am abend": "EVE", "jeden abend": "EVE", "abend": "EVE",
        "zur nacht": "NIGHT", "nachts": "NIGHT", "in der nacht": "NIGHT", "nacht": "NIGHT", "jede nacht": "NIGHT",
        "vor dem schlafengehen": "HS", "vor dem schlafen": "HS", "zum schlafen": "HS", "vor dem zubettgehen": "HS",
        "abends vor dem schlafengehen": "HS", "abends vor dem schlafen": "HS", "zum frühstück": "CM",
        "beim frühstück": "CM", "mit dem frühstück": "CM", "zum mittagessen": "CD", "beim mittagessen": "CD",
        "zum abendessen": "CV", "beim abendessen": "CV", "vor dem frühstück": "ACM", "vor dem mittagessen": "ACD",
        "vor dem abendessen": "ACV", "nach dem frühstück": "PCM", "nach dem mittagessen": "PCD",
        "nach dem abendessen": "PCV", "morgens zum frühstück": "CM", "morgens vor dem frühstück": "ACM",
        "morgens nach dem frühstück": "PCM", "morgens nüchtern": "ACM", "abends zum abendessen": "CV",
    },
    weekdays={
        "montag": "mon", "montags": "mon", "mo": "mon", "dienstag": "tue", "dienstags": "tue", "di": "tue",
        "mittwoch": "wed", "mittwochs": "wed", "mi": "wed", "donnerstag": "thu", "donnerstags": "thu", "do": "thu",
        "freitag": "fri", "freitags": "fri", "fr": "fri", "samstag": "sat", "samstags": "sat", "sa": "sat",
        "sonntag": "sun", "sonntags": "sun", "so": "sun",
    },
    needed=(
        "bei bedarf", "bb", "b b", "wenn nötig", "falls nötig", "im bedarfsfall", "nach bedarf", "falls erforderlich",
    ),
    up_to=("max", "maximal", "bis zu", "bis zu max", "bis zu maximal", "höchstens", "maximal bis zu"),
    passed=(
        "einnehmen", "nehmen", "nehmen sie", "bitte", "oral", "per os", "p o", "po", "peroral", "zum einnehmen",
        "schlucken", "mit wasser", "mit etwas wasser", "mit einem glas wasser", "unzerkaut", "mit den mahlzeiten",
        "zu den mahlzeiten", "zum essen", "nach dem essen", "vor dem essen", "nüchtern", "jeweils", "je",
        "wie verordnet", "nach plan", "laut plan", "dosis", "dosierung", "einnahme", "gabe", "unabhängig vom essen",
    ),
    before=("vor dem frühstück", "vor dem mittagessen", "vor dem abendessen", "vor dem schlafengehen", "vor dem essen",
            "nach dem essen"),
    duration=("für", "über", "während", "x", "für die nächsten"),
    reason=("gegen", "wegen"),
    condition=("bei", "wenn", "falls"),
    divided=("in", "verteilt auf", "aufgeteilt auf", "auf"),
    ceiling=("maximal", "max", "höchstens", "maximale tagesdosis", "tagesmaximum", "nicht mehr als", "höchstdosis"),
    ceiling_per=(
        "pro tag", "am tag", "täglich", "/ tag", "tgl", "in 24 stunden", "in 24 std", "in 24 h", "/ d", "/ 24 h",
    ),
    notices=("kein alkohol", "keinen alkohol", "nicht autofahren", "vorsicht", "cave", "kann müde", "nicht absetzen",
             "arzt", "rücksprache", "nicht kauen", "nicht teilen"),
    clock=("um", "gegen"),
    change=("dann", "danach", "ausschleichen", "reduzieren", "reduktion", "steigern", "erhöhen", "absetzen",
            "pausieren", "anschließend", "anschliessend", "außer", "ausser", "jeweils um", "ausschleichend",
            "steigerung"),
    minutes=("minuten", "minute", "min"),
    correctable=("tablette", "tabletten", "morgens", "abends", "mittags", "täglich", "kapsel", "stunden", "frühstück"),
    typos={"früchstück": "frühstück", "stdn": "stunden", "halbestunde": "halbe stunde"},
)  # fmt: skip

FRENCH = Language(
    name="fr",
    numbers={
        "un demi": "1/2", "une demi": "1/2", "demi": "1/2", "un quart": "1/4", "quart": "1/4", "une": "1", "un": "1",
        "deux": "2", "trois": "3", "quatre": "4", "cinq": "5", "six": "6", "sept": "7", "huit": "8", "neuf": "9",
        "dix": "10",
    },
    halves=("et demi", "et demie", "et 1/2"),
    to=("à", "-", "ou", "a"),
    join=("et", "puis le"),
    rates={
        "par jour": "1", "/ jour": "1", "/ j": "1", "une fois par jour": "1", "chaque jour": "1", "tous les jours": "1",
        "deux fois par jour": "2", "trois fois par jour": "3", "quatre fois par jour": "4", "un jour sur deux": "1/2",
        "1 jour sur 2": "1/2", "tous les deux jours": "1/2", "tous les 2 jours": "1/2", "une fois par semaine": "1/7",
        "par semaine": "1/7", "chaque semaine": "1/7", "trois fois par semaine": "3/7", "1 jour / 2": "1/2",
        "1 j sur 2": "1/2", "1 j / 2": "1/2", "deux fois par semaine": "2/7", "quotidiennement": "1", "par j": "1",
    },
    times=("fois", "x", "prises"),
    per_day=("par jour", "/ jour", "/ j", "par j", "chaque jour", "jour", "j"),
    per_week=("par semaine", "/ semaine"),
    every=("toutes les", "tous les", "chaque"),
    hours=("heures", "heure", "h"),
    days=("jours", "jour", "j"),
    weeks=("semaines", "semaine"),
    whens={
        "le matin": "MORN", "matin": "MORN", "chaque matin": "MORN", "tous les matins": "MORN", "au lever": "WAKE",
        "le midi": "NOON", "midi": "NOON", "à midi": "NOON", "l'après-midi": "AFT", "après-midi": "AFT",
        "l après-midi": "AFT", "le soir": "EVE", "soir": "EVE", "chaque soir": "EVE", "tous les soirs": "EVE",
        "la nuit": "NIGHT", "nuit": "NIGHT", "au coucher": "HS", "le soir au coucher": "HS", "coucher": "HS",
        "avant le coucher": "HS", "avant de dormir": "HS", "au petit déjeuner": "CM", "au petit-déjeuner": "CM",
        "au déjeuner": "CD", "au dîner": "CV", "au diner": "CV", "avant le petit déjeuner": "ACM",
        "avant le déjeuner": "ACD", "avant le dîner": "ACV", "après le petit déjeuner": "PCM", "après le dîner": "PCV",
        "le matin au petit déjeuner": "CM", "le matin à jeun": "ACM", "petit déjeuner": "CM", "déjeuner": "CD",
        "dîner": "CV", "diner": "CV", "au souper": "CV", "le midi au déjeuner": "CD", "le soir au dîner": "CV",
        "avant de se coucher": "HS", "le soir avant le coucher": "HS", "avant le repas du soir": "ACV",
        "après le déjeuner": "PCD", "au réveil": "WAKE", "le matin au réveil": "WAKE", "le matin au lever": "WAKE",
    },
    weekdays={
        "lundi": "mon", "mardi": "tue", "mercredi": "wed", "jeudi": "thu", "vendredi": "fri", "samedi": "sat",
        "dimanche": "sun",
    },
    needed=("si besoin", "si nécessaire", "en cas de besoin", "au besoin", "selon besoin"),
    up_to=("jusqu'à", "jusqu à",),
    passed=(
        "prendre", "par voie orale", "voie orale", "per os", "po", "p o", "avaler", "à avaler", "à prendre",
        "a prendre",
        "avec un verre d'eau", "avec de l'eau", "avec de l eau", "pendant le repas", "pendant les repas",
        "au cours du repas", "au cours des repas", "avant les repas", "après les repas", "de", "d'", "chaque", "prise",
        "le", "la", "oral", "orale", "à jeun", "a jeun", "avec un grand verre d'eau", "au milieu du repas",
        "au milieu des repas", "après le repas", "avant le repas", "avec le repas", "avec les repas", "prenez",
        "à prendre au cours des repas", "au repas", "aux repas",
        "dans un verre d'eau",
    ),
    before=("avant le petit déjeuner", "avant le déjeuner", "avant le dîner", "avant le coucher", "avant les repas"),
    duration=("pendant", "pour", "durant", "x"),
    reason=("pour", "contre"),
    condition=("si", "en cas de", "en cas d'"),
    divided=("en", "répartis en", "à répartir en"),
    ceiling=("maximum", "max", "ne pas dépasser", "sans dépasser", "au maximum", "dose maximale"),
    ceiling_per=("par jour", "/ jour", "par 24 heures", "par 24 h", "/ 24 h", "en 24 h", "/ j", "en 24 heures"),
    notices=("pas d'alcool", "éviter l'alcool", "ne pas conduire", "attention", "ne pas arrêter"),
    clock=("à", "a", "vers"),
    change=("puis", "ensuite", "diminuer", "réduire", "augmenter", "arrêter", "arrêt", "sevrage", "sauf", "jusqu'au",
            "décroissante", "progressivement"),
    correctable=("comprimé", "comprimés", "matin", "heures", "gélule", "besoin"),
)  # fmt: skip

SPANISH = Language(
    name="es",
    numbers={
        "media": "1/2", "medio": "1/2", "un cuarto de": "1/4", "cuarto de": "1/4", "una": "1", "un": "1", "uno": "1",
        "dos": "2", "tres": "3", "cuatro": "4", "cinco": "5", "seis": "6", "siete": "7", "ocho": "8", "nueve": "9",
        "diez": "10",
    },
    halves=("y media", "y medio", "y 1/2"),
    to=("a", "-", "o"),
    join=("y", "más"),
    rates={
        "al día": "1", "al dia": "1", "diario": "1", "diaria": "1", "diariamente": "1", "cada día": "1",
        "cada dia": "1",
        "por día": "1", "por dia": "1", "todos los días": "1", "todos los dias": "1", "/ día": "1", "/ dia": "1",
        "una vez al día": "1", "una vez al dia": "1", "dos veces al día": "2", "dos veces al dia": "2",
        "tres veces al día": "3", "tres veces al dia": "3", "cuatro veces al día": "4", "cuatro veces al dia": "4",
        "en días alternos": "1/2", "días alternos": "1/2", "cada dos días": "1/2", "una vez por semana": "1/7",
        "a la semana": "1/7", "por semana": "1/7", "cada semana": "1/7", "tres veces por semana": "3/7",
        "tres veces a la semana": "3/7", "un día sí y otro no": "1/2", "día por medio": "1/2", "c / 24 h": "1",
        "una vez cada día": "1", "dos veces por día": "2", "tres veces por día": "3", "una vez diaria": "1",
        "dos veces diarias": "2", "una vez a la semana": "1/7", "semanal": "1/7", "dos veces por semana": "2/7",
        "dos veces a la semana": "2/7",
    },
    times=("veces", "vez", "x"),
    per_day=("al día", "al dia", "por día", "por dia", "diarias", "/ día", "/ dia", "cada día"),
    per_week=("por semana", "a la semana", "semanales"),
    every=("cada", "c /"),
    hours=("horas", "hora", "hrs", "hr", "h"),
    days=("días", "dias", "día", "dia"),
    weeks=("semanas", "semana"),
    whens={
        "por la mañana": "MORN", "en la mañana": "MORN", "cada mañana": "MORN", "por las mañanas": "MORN",
        "mañana": "MORN", "todas las mañanas": "MORN", "al levantarse": "WAKE", "al mediodía": "NOON",
        "a mediodía": "NOON", "mediodía": "NOON", "por la tarde": "AFT", "en la tarde": "AFT", "tarde": "AFT",
        "por la noche": "NIGHT", "en la noche": "NIGHT", "cada noche": "NIGHT", "por las noches": "NIGHT",
        "noche": "NIGHT", "todas las noches": "NIGHT", "al acostarse": "HS", "antes de acostarse": "HS",
        "antes de dormir": "HS", "por la noche al acostarse": "HS", "por la noche antes de acostarse": "HS",
        "con el desayuno": "CM", "en el desayuno": "CM", "con la comida": "CD", "en la comida": "CD",
        "con el almuerzo": "CD", "en el almuerzo": "CD", "con la cena": "CV", "en la cena": "CV", "desayuno": "CM",
        "antes del desayuno": "ACM", "antes del almuerzo": "ACD", "antes de la cena": "ACV",
        "después del desayuno": "PCM",
        "después de la cena": "PCV", "cena": "CV", "almuerzo": "CD", "comida": "CD", "en desayuno": "CM",
        "en comida": "CD", "en cena": "CV", "antes de ir a dormir": "HS", "antes de la comida": "ACD",
        "después del almuerzo": "PCD", "después de la comida": "PCD", "a la hora de dormir": "HS",
        "a la hora de acostarse": "HS", "en ayunas": "ACM", "por la mañana en ayunas": "ACM",
        "cada mañana en ayunas": "ACM", "al despertar": "WAKE", "mañanas": "MORN", "noches": "NIGHT",
    },
    weekdays={
        "lunes": "mon", "martes": "tue", "miércoles": "wed", "miercoles": "wed", "jueves": "thu", "viernes": "fri",
        "sábado": "sat", "sabado": "sat", "domingo": "sun",
    },
    needed=("si precisa", "si es necesario", "si necesario", "a demanda", "en caso necesario", "si lo precisa",
            "según necesidad", "si necesita", "según sea necesario", "cuando sea necesario", "en caso de necesidad"),
    up_to=("hasta",),
    passed=(
        "tomar", "tome", "toma", "por vía oral", "vía oral", "via oral", "por via oral", "vo", "v o", "oral",
        "por boca", "por la boca", "oralmente", "vía bucal", "tómese", "tomese", "con agua",
        "con un vaso de agua", "con las comidas", "con comida", "con alimentos", "ingerir",
        "después de las comidas", "antes de las comidas", "administrar", "de", "los", "el", "las",
    ),
    before=("antes del desayuno", "antes del almuerzo", "antes de la cena", "antes de acostarse", "antes de dormir"),
    duration=("durante", "por", "x"),
    reason=("para", "por", "contra"),
    condition=("si", "en caso de", "cuando", "si hay", "si tiene"),
    divided=("en", "dividido en", "dividida en", "dividido", "repartido en"),
    ceiling=("máximo", "maximo", "máx", "max", "no exceder", "no más de", "dosis máxima", "no superar"),
    ceiling_per=(
        "al día", "al dia", "por día", "por dia", "en 24 horas", "/ día", "cada 24 horas", "en 24 h", "diarios",
    ),
    notices=("no conducir", "evitar alcohol", "evitar el alcohol", "no tomar alcohol", "no suspender"),
    clock=("a las", "a la"),
    change=("luego", "después", "reducir", "disminuir", "aumentar", "suspender", "bajar", "excepto", "hasta suspender",
            "retirar", "subir", "posteriormente"),
    minutes=("minutos", "minuto", "min"),
    correctable=("comprimido", "comprimidos", "tableta", "tabletas", "horas", "noche", "mañana"),
)  # fmt: skip

LANGUAGES = (ENGLISH, GERMAN, FRENCH, SPANISH)
