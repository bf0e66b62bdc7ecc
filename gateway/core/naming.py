"""What kinds of secrets are called: one name for what several rules find, for what a token begins with, for a vendor.

No I/O here, no search and no judging. A kind goes into markers, records and the ledger, so it has to stay the same.
"""

from collections.abc import Sequence
from itertools import pairwise

PREFIXED = "prefixed-token"  # the kind of the rule that finds the tokens that begin as these do
# What a token begins with and the kind that the catalogue gives it, where it finds it by itself too.
_BEGINNINGS = (
    (b"sk_", "stripe-access-token"),
    (b"rk_", "stripe-access-token"),
    (b"whsec_", "webhook-signing-secret"),
    (b"sk-ant-admin", "anthropic-admin-api-key"),
    (b"sk-ant-", "anthropic-api-key"),
    (b"sk-or-", "openrouter-api-key"),
    (b"sk-lf-", "langfuse-secret-key"),
    (b"AIza", "gcp-api-key"),
    (b"hf_", "huggingface-access-token"),
    (b"api_org_", "huggingface-organization-api-token"),
    (b"GOCSPX-", "google-client-secret"),
    (b"ya29.", "google-access-token"),
    (b"dckr_oat_", "dockerhub-organization-access-token"),
    (b"dckr_pat_", "dockerhub-personal-access-token"),
    (b"hvb.", "vault-batch-token"),
    (b"hv", "vault-service-token"),
    (b"dapi", "databricks-api-token"),
    (b"ntn_", "notion-api-token"),
    (b"AT", "atlassian-api-token"),
    (b"do", "digitalocean-pat"),
    (b"sntrys_", "sentry-org-token"),
    (b"sntryu_", "sentry-user-token"),
    (b"NRAK-", "new-relic-user-api-key"),
    (b"dp.", "doppler-api-token"),
    (b"glsa_", "grafana-service-account-token"),
    (b"glc_", "grafana-cloud-api-token"),
    (b"HRKU-", "heroku-api-key-v2"),
    (b"cf", "cloudflare-api-key"),
    (b"pul-", "pulumi-api-token"),
    (b"PMAK-", "postman-api-token"),
    (b"pat-", "hubspot-private-app-token"),
    (b"pat", "airtable-personnal-access-token"),
    (b"fig", "figma-personal-access-token"),
    (b"gsk_", "groq-api-key"),
    (b"xai-", "xai-api-key"),
    (b"pplx-", "perplexity-api-key"),
    (b"r8_", "replicate-api-token"),
    (b"sq0", "square-access-token"),
    (b"EAAA", "square-access-token"),
    (b"EAA", "facebook-access-token"),
    (b"rubygems_", "rubygems-api-token"),
    (b"sbp_", "supabase-management-token"),
    (b"tskey-", "tailscale-api-key"),
    (b"pscale_tkn_", "planetscale-api-token"),
    (b"pscale_", "planetscale-password"),
    (b"bkua_", "buildkite-user-access-token"),
    (b"CCIPAT_", "circleci-personal-token"),
    (b"AGE-", "age-secret-key"),
    (b"CFPAT-", "contentful-personal-access-token"),
    (b"npm_", "npm-access-token"),
    (b"pypi-", "pypi-upload-token"),
    (b"oy2", "nuget-api-key"),
    (b"glpat-", "gitlab-pat"),
    (b"glrt-", "gitlab-runner-authentication-token"),
    (b"glptt-", "gitlab-ptt"),
    (b"gldt-", "gitlab-deploy-token"),
    (b"xoxb-", "slack-bot-token"),
    (b"xoxp-", "slack-user-token"),
    (b"xapp-", "slack-app-token"),
    (b"xox", "slack-legacy-token"),
    (b"shpat_", "shopify-access-token"),
    (b"shp", "shopify-shared-secret"),
    (b"SG.", "sendgrid-api-token"),
    (b"SK", "twilio-api-key"),
    (b"lin_", "linear-api-key"),
    (b"xkeysib-", "sendinblue-api-token"),
    (b"key-", "mailgun-private-api-token"),
    (b"nvapi-", "nvidia-api-key"),
    (b"ghp_", "github-pat"),
    (b"gho_", "github-oauth"),
    (b"ghu_", "github-app-token"),
    (b"ghs_", "github-app-token"),
    (b"ghr_", "github-refresh-token"),
    (b"github_pat_", "github-fine-grained-pat"),
    (b"snyk_", "snyk-api-token"),
    (b"LTAI", "alibaba-access-key-id"),
    (b"fo1_", "flyio-access-token"),
    (b"FlyV1", "flyio-access-token"),
    (b"v1.0-", "cloudflare-origin-ca-key"),
)
_SAME = {  # kinds that several rules find under several names
    "slackappleveltoken": "slack-app-token",
    "slackappconfigaccesstoken": "slack-config-access-token",
    "slackappconfigrefreshtoken": "slack-config-refresh-token",
    "npmjsaccesstoken": "npm-access-token",
    "digitaloceanapikey": "digitalocean-pat",
    "cloudflareapitoken": "cloudflare-api-key",
    "sendgrid": "sendgrid-api-token",
    "herokuplatformkey": "heroku-api-key-v2",
    "grokxaiapikey": "xai-api-key",
    "openrouter": "openrouter-api-key",
    "postmanapikey": "postman-api-token",
    "circleciproject": "circleci-project-token",
    "generic-credential-uri": "url-password",
    "mongodb-connection-string": "url-password",
    "telegram-bot-api-token": "telegram-bot-token",
    "curl-auth-header": "bearer-token",
    "bearer": "bearer-token",
}
_VENDOR_NAMES = (  # as they stand in keys, without what divides their words
    "adyen airtable akamai alchemy algolia amadeus amazon amplitude anthropic artifactory asana atlassian auth0 "
    "aws azure bandwidth binance bitbucket bitfinex bitly bittrex braintree brevo bugsnag buildkite calendly "
    "circleci clerk clickup cloudflare cloudinary codacy codecov cognito cohere coinbase confluence confluent "
    "contentful coveralls databricks datadog deepseek digitalocean discord docker dockerhub docusign doppler "
    "dropbox duffel dynatrace easypost elastic elevenlabs etherscan facebook fastly figma firebase freshdesk gcp "
    "gemini ghost giphy github gitlab google grafana groq heroku hetzner honeycomb hubspot huggingface imgur "
    "infra infura instagram intercom jenkins jfrog jira keycloak klaviyo kraken kucoin langchain langfuse "
    "langsmith launchdarkly linear linkedin linode lob logdna loggly mailchimp mailgun mailjet mandrill mapbox "
    "messagebird mistral mixpanel monday mongodb moralis neon netlify newrelic nexmo ngrok notion npm nuget okta "
    "onelogin onesignal openai openweather openweathermap opsgenie optimizely ovh pagerduty papertrail paypal "
    "perplexity pinecone pinterest plaid planetscale plivo posthog postmark pubnub pulumi pusher pypi qdrant "
    "quickbooks railway razorpay reddit replicate rollbar salesforce scaleway segment sendbird sendgrid "
    "sendinblue sentry shippo shopify sinch slack snowflake snyk sonar sonarcloud sonarqube sparkpost splunk "
    "spotify square stability strava stripe sumologic supabase surveymonkey tailscale telegram telnyx terraform "
    "tiktok todoist travis trello twilio twitch twitter typeform unsplash upstash vercel vonage vultr wakatime "
    "wandb weaviate woocommerce xero yandex yelp youtube zendesk zoom"
)
_VENDORS = frozenset(_VENDOR_NAMES.split())


def same(kind: str) -> str:
    """The one name of a kind."""
    return _SAME.get(kind, kind)


def begun(secret: bytes) -> str:
    """The kind of a token by what it begins with, or ends with."""
    if b"-us" in secret[-5:]:
        return "mailchimp-api-key"
    return next((kind for beginning, kind in _BEGINNINGS if secret.startswith(beginning)), PREFIXED)


def under(words: Sequence[str]) -> str:
    """The kind of a secret that a vendor's name among the words of its key tells: `twilio-credential`, or empty."""
    names = (*words, *map("".join, pairwise(words)))  # `new_relic_key` is of `newrelic`
    return next((f"{name}-credential" for name in names if name in _VENDORS), "")
