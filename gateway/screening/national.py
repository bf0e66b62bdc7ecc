"""The shapes of national ids, the module of `stdnum` that proves each, and the words that have to stand before it.

No I/O here, and nothing is searched: `pii.py` does that.
"""

from msgspec import Struct


class National(Struct, frozen=True):
    """One national id: `shape` is a pattern of ASCII bytes, `module` one of `stdnum` with an `is_valid`.

    With `words` (lower case) it only counts close behind one of them: alone too many other numbers would pass.
    """

    kind: str
    shape: str
    module: str
    words: tuple[str, ...] = ()


# In order: where two overlap the first one holds.
BY_SHAPE = (
    National("it-codice-fiscale", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    National("mx-curp", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", "mx.curp"),
    National("us-itin", r"9\d{2}-\d{2}-\d{4}", "us.itin"),
    National("us-ssn", r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}", ""),
    National("br-cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    National("be-nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}[.-]\d{2}", "be.nn"),
    National("ch-ahv", r"756\.\d{4}\.\d{4}\.\d{2}", "ch.ssn"),
    National("fr-nir", r"[12] \d{2} \d{2} \d[\dAB] \d{3} \d{3} \d{2}", "fr.nir"),
    National("kr-rrn", r"\d{6}-\d{7}", "kr.rrn"),
    National("cn-ric", r"[1-9]\d{5}(?:19|20)\d{9}[\dXx]", "cn.ric"),
    National("fi-hetu", r"\d{6}[-+A]\d{3}[0-9A-FHJ-NPR-Y]", "fi.hetu"),
)
BY_WORD = (
    National("us-ssn", r"(?!000|666|9)\d{3}[ -]?(?!00)\d{2}[ -]?(?!0000)\d{4}", "", ("ssn", "social security")),
    National("us-itin", r"9\d{2}[ -]?\d{2}[ -]?\d{4}", "us.itin", ("itin",)),
    National("ca-sin", r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", ("sin", "social insurance")),
    National("gb-nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", ("nhs",)),
    National(
        "gb-nino",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
        "",
        ("nino", "national insurance"),
    ),
    National("in-aadhaar", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", "in_.aadhaar", ("aadhaar", "aadhar", "uidai")),
    National("in-pan", r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", "in_.pan", ("pan", "permanent account")),
    National("au-tfn", r"\d{3}[ -]?\d{3}[ -]?\d{2,3}", "au.tfn", ("tfn", "tax file")),
    National(
        "de-idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", ("steuer", "idnr", "identifikationsnummer", "tax id")
    ),
    National("nl-bsn", r"\d{8,9}|\d{3,4}\.\d{2}\.\d{3}", "nl.bsn", ("bsn", "burgerservicenummer", "sofinummer")),
    National("fr-nir", r"[12]\d{5}[\dAB]\d{8}", "fr.nir", ("nir", "insee", "sécurité sociale", "securite sociale")),
    National("pl-pesel", r"\d{11}", "pl.pesel", ("pesel",)),
    National("se-personnummer", r"(?:\d{2})?\d{6}[-+ ]?\d{4}", "se.personnummer", ("personnummer", "personnr")),
    National("dk-cpr", r"\d{6}[- ]?\d{4}", "dk.cpr", ("cpr", "personnummer")),
    National(
        "no-fodselsnummer",
        r"\d{6} ?\d{5}",
        "no.fodselsnummer",
        ("fødselsnummer", "fodselsnummer", "fnr", "personnummer"),
    ),
    National("fi-hetu", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", "fi.hetu", ("hetu", "henkilötunnus")),
    National("es-dni", r"\d{8}-?[A-Z]", "es.dni", ("dni", "nif")),
    National("es-nie", r"[XYZ]-?\d{7}-?[A-Z]", "es.nie", ("nie", "dni", "nif")),
    National("ro-cnp", r"[1-9]\d{12}", "ro.cnp", ("cnp",)),
    National("cz-rc", r"\d{6}/?\d{3,4}", "cz.rc", ("rodné číslo", "rodne cislo", "birth number")),
    National("tr-tckimlik", r"[1-9]\d{10}", "tr.tckimlik", ("tckn", "kimlik")),
    National("za-id", r"\d{13}", "za.idnr", ("id number", "identity number", "sa id")),
    National("bg-egn", r"\d{10}", "bg.egn", ("egn", "егн")),
    National("ee-ik", r"[1-8]\d{10}", "ee.ik", ("isikukood", "personal code")),
    National("hr-oib", r"\d{11}", "hr.oib", ("oib",)),
    National("il-id", r"\d{7,8}-?\d", "il.idnr", ("teudat zehut", "israeli id", "תעודת זהות")),
    National("gr-amka", r"\d{11}", "gr.amka", ("amka", "αμκα")),
    National("ie-pps", r"\d{7}[A-W][A-IW]?", "ie.pps", ("pps", "ppsn")),
    National("th-pin", r"\d-?\d{4}-?\d{5}-?\d{2}-?\d", "th.pin", ("thai id", "citizen id", "บัตรประชาชน")),
    National("my-nric", r"\d{6}-?\d{2}-?\d{4}", "my.nric", ("nric", "mykad")),
    National("si-emso", r"\d{13}", "si.emso", ("emso", "emšo")),
    National("kr-rrn", r"\d{6}-?\d{7}", "kr.rrn", ("rrn", "resident registration", "주민등록번호")),
    National("br-cpf", r"\d{11}", "br.cpf", ("cpf",)),
    National("be-nn", r"\d{11}", "be.nn", ("rijksregister", "national number", "insz", "niss")),
    National("ch-ahv", r"756\d{10}", "ch.ssn", ("ahv", "avs")),
)
