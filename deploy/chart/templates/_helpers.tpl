{{- define "bijecta.name" -}}
{{- if contains "bijecta" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-bijecta" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bijecta.selector" -}}
app.kubernetes.io/name: bijecta
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Whole numbers without an exponent: Helm reads 10000000 as 1e+07. */}}
{{- define "bijecta.value" -}}
{{- if kindIs "string" . -}}
{{- . -}}
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- int64 . -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{- define "bijecta.graceSeconds" -}}
{{- $drain := get .Values.settings "BIJECTA_DRAIN_SECONDS" | default 0 | ceil -}}
{{- $stop := dig "BIJECTA_STOP_SECONDS" 30 .Values.settings -}}
{{- add .Values.preStopSeconds $drain $stop 5 -}}
{{- end -}}
